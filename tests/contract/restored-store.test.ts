import { memoryBackend, natsBackend } from './backends.ts';
import { restoredStoreContract } from './restored-store.ts';

restoredStoreContract('memory', async () => memoryBackend());
restoredStoreContract('nats', natsBackend);
