import { clusterBackend, memoryBackend, natsBackend } from './backends.ts';
import { busContract } from './bus.ts';

busContract('memory', async () => memoryBackend());
busContract('nats', natsBackend);
busContract('cluster', clusterBackend);
