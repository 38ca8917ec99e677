import { suite } from 'uvu';
import { wasmDecoder } from '../../src/infra/video/wasm-ffmpeg.ts';
import { decoderContract } from '../contract/decoder.ts';

const test = suite('decoder contract: ffmpeg.wasm');
const decoder = wasmDecoder();
decoderContract(test, () => decoder);
test.run();
