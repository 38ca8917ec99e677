// shared
/** Containers that are read packet by packet, and a raw stream. */
import { fuzzVideos } from './video-fuzz.ts';

fuzzVideos(['transport.ts', 'no-times.h264', 'a.flv', 'a.ogg', 'a.mpg'], 250);
