import { clusterBackend, memoryBackend, natsBackend } from './backends.ts';
import { journalContract } from './journal.ts';

journalContract('memory', async () => memoryBackend());
journalContract('nats', natsBackend);
journalContract('cluster', clusterBackend);
