import { clusterBackend, memoryBackend, natsBackend } from './backends.ts';
import { predictionLogContract } from './prediction-log.ts';

predictionLogContract('memory', async () => memoryBackend());
predictionLogContract('nats', natsBackend);
predictionLogContract('cluster', clusterBackend);
