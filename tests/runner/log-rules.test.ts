import { memoryBackend, natsBackend } from '../contract/backends.ts';
import { logRules } from './log-rules.ts';

logRules('the memory server', async () => memoryBackend());
logRules('nats-server', natsBackend);
