// shared
/** Containers with an index: boxes and elements whose lengths can lie. */
import { fuzzVideos } from './video-fuzz.ts';

fuzzVideos(['b-frames.mp4', 'variable-rate.mkv', 'alt-ref.webm', 'b-frames.avi', 'a.mov'], 250);
