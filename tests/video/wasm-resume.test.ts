// shared
import { suite } from 'uvu';
import { wasmDecoder } from '../../src/infra/video/wasm-ffmpeg.ts';
import { resumeContract } from '../contract/decoder.ts';

const test = suite('resume contract: ffmpeg.wasm');
const decoder = wasmDecoder();
resumeContract(test, () => decoder, 'few');
test.run();
