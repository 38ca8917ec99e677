import { clusterBackend, memoryBackend, natsBackend } from './backends.ts';
import { mailboxContract } from './mailbox.ts';

const seed = Math.floor(Math.random() * 2 ** 32);
mailboxContract('memory', async () => memoryBackend(), seed);
mailboxContract('nats', natsBackend, seed);
mailboxContract('cluster', clusterBackend, seed);
