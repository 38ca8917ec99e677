import { clusterBackend, memoryBackend, natsBackend } from '../contract/backends.ts';
import { partitionContract } from './partition.ts';

const seed = Math.floor(Math.random() * 2 ** 32);
partitionContract('memory', async () => memoryBackend(), seed);
partitionContract('nats', natsBackend, seed);
partitionContract('cluster', clusterBackend, seed);
