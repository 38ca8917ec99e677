import { clusterBackend, memoryBackend, natsBackend } from './backends.ts';
import { stateStoreContract } from './state-store.ts';

stateStoreContract('memory', async () => memoryBackend());
stateStoreContract('nats', natsBackend);
stateStoreContract('cluster', clusterBackend);
