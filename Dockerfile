# The image of a Troupe node, whatever its roles. NATS is external: it has none inside (docker-compose.yml has three).
#
# No engine has built it yet: there was none where it was written. tests/ops/dockerfile.test.ts runs its COPY, npm and bundle lines
# in a folder, tests/ops/compose.test.ts the bundle as docker-compose.yml starts it. Not tried: base image, apt-get, USER, VOLUME.

# ── the program as one folder: 58 MB, where the production packages alone have 357 MB ──
FROM node:24-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY LICENSE ./
COPY models ./models
COPY test_videos ./test_videos
COPY scripts ./scripts
COPY src ./src
RUN node scripts/bundle.ts --out /app

# ── what runs: Node, ffmpeg, that folder; no package manager's packages ──
FROM node:24-bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends ffmpeg \
 && rm -rf /var/lib/apt/lists/* \
 && install -d -o node -g node /data
COPY --from=build /app /app
ENV NODE_ENV=production
ENV TROUPE_DATA=/data
WORKDIR /data
USER node
VOLUME /data
EXPOSE 8080
# `up` drains on it, also as process 1. Runners that are killed leave their ffmpeg to process 1, and Node collects no strangers'
# children: run it with an init (`docker run --init`, `init: true`).
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "/app/troupe.mjs"]
CMD ["up"]
