/** Made by 'npm run generate:client' of the API's OpenAPI document; tests/cli/api-types.test.ts compares. */
export interface paths {
    "/api/v1/models": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List registered models
         * @description Name, digest, input, family and classes of each.
         */
        get: operations["listModels"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/nodes": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List live nodes
         * @description Roles, slots, load, roots and engine of each.
         */
        get: operations["listNodes"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/nodes/{node}/drain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Drain a node
         * @description Its runners stop between two frames and go on elsewhere, its partitions are handed over, and it takes no more, until it is undrained or started anew. It is empty when `running` is 0 and `partitions` is empty.
         */
        post: operations["drainNode"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/nodes/{node}/undrain": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Let a drained node take part again
         * @description It takes runners at once, and its share of the partitions as they are released to it.
         */
        post: operations["undrainNode"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/rejected": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List refused commands
         * @description Of the last 24 hours, newest first: what was refused of commands that came over HTTP or NATS, and why. A page may have fewer than `limit` items; there are more as long as it has a `nextCursor`.
         */
        get: operations["listRejected"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * List scenarios
         * @description Ordered by id.
         */
        get: operations["listScenarios"];
        put?: never;
        /**
         * Create a scenario
         * @description Runs a model over a video. The scenario starts at once unless `start` is false.
         */
        post: operations["createScenario"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read a scenario
         * @description With `wait`, answers when the scenario is inactive or the time is over, whichever comes first.
         */
        get: operations["getScenario"];
        put?: never;
        post?: never;
        /**
         * Delete a scenario with its results
         * @description Only an inactive one: stop it before.
         */
        delete: operations["deleteScenario"];
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/events": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Follow a scenario
         * @description Server-Sent Events. `state` (StateEvent): first as it is now, then every transition. `progress` (ProgressEvent): at most once a second. `prediction`: `{run, ...Prediction}`, of the latest run from its first frame on, in frame order, each once. `inactive` comes after the last prediction of its run; only the state at the beginning does not wait: of a scenario that has ended already the `progress` comes behind the last prediction. The stream stays open after it, and tells of a later start; a comment every 15 s keeps it from being cut. `deleted` (DeletedEvent) is the last event of all. A reader that was cut off goes on with `Last-Event-ID`, at any API node, without a gap or a repeat.
         */
        get: operations["streamEvents"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/export": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Export the whole result
         * @description jsonl: one prediction a line, in frame order, byte-identical for equal inputs and engine. csv: a row a detection, without frames that have none. Class names are the model's own, unaltered: have a spreadsheet import them as text when you do not trust the model, lest one that begins with = be a formula.
         */
        get: operations["exportScenario"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/manifest": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the manifest of a result
         * @description What the export is the result of, and the SHA-256 of its bytes.
         */
        get: operations["getManifest"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/predictions": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read predictions
         * @description In frame order. While the run goes on: everything up to some frame, without a gap. With `class` or `minScore`, frames left empty are omitted.
         */
        get: operations["listPredictions"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/start": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Start a scenario
         * @description A stopped or failed one goes on where it stopped, in the same run; `from=start` begins a new run.
         */
        post: operations["startScenario"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/stop": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        get?: never;
        put?: never;
        /**
         * Stop a scenario
         * @description What was computed so far stays readable, and a later start goes on from there.
         */
        post: operations["stopScenario"];
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/scenarios/{id}/timeline": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read what happened to a scenario
         * @description Oldest first: states, attempts and where they were placed, nodes that refused and why, detections of death, fences, at which frame an attempt went on, restarts, the end. Facts are kept for a week; the newest 1000 are answered. Of a deleted scenario, what is left of it.
         */
        get: operations["getTimeline"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/api/v1/tree": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the supervision tree
         * @description As the supervisors' own child tables have it.
         */
        get: operations["getTree"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/healthz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Is the process up
         * @description Wants no token.
         */
        get: operations["getHealth"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/metrics": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Read the metrics
         * @description Prometheus text of every live node, each value with its `node`; a node that does not answer has `troupe_node_up 0`. With `scope=node` of this one alone, for who reads every node by itself.
         */
        get: operations["getMetrics"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
    "/readyz": {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        /**
         * Can this node serve
         * @description NATS is reachable and every partition has an owner.
         */
        get: operations["getReadiness"];
        put?: never;
        post?: never;
        delete?: never;
        options?: never;
        head?: never;
        patch?: never;
        trace?: never;
    };
}
export type webhooks = Record<string, never>;
export interface components {
    schemas: {
        /** @description data of the `deleted` event, the last one */
        DeletedEvent: {
            at: string;
            from: "init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive";
            run: number;
            /** @enum {string} */
            to: "deleted";
        };
        Model: {
            classes: string[];
            /** @description yolov8: [1, 4+C, N] decoded cx cy w h and class scores; yolox: [1, N, 5+C] undecoded grids 8/16/32 */
            family: "yolov8" | "yolox";
            input: {
                channels: "rgb" | "bgr";
                height: number;
                mean: number[];
                name: string;
                scale: number[];
                type: "uint8" | "float32";
                width: number;
            };
            /** @description registered name, or the file name without .onnx */
            name: string;
            /** @description of the file, hex */
            sha256: string;
        };
        Node: {
            /** @description it takes no runners and owns no partitions until it is told otherwise */
            draining: boolean;
            /** @description null: without the role runner */
            engine: {
                /** @description CPU class: architecture and the vector extensions that change rounding */
                cpu: string;
                /** @description name and version, such as `ffmpeg 7.1.1` */
                decoder: string;
                /** @description version */
                onnxruntime: string;
                /** @description execution provider, such as `cpu` */
                provider: string;
            } | null;
            /** @description 1 to 64 of A-Z a-z 0-9 _ - */
            id: string;
            /** @description running / slots */
            load: number;
            models: string[];
            partitions: number[];
            pid: number;
            roles: ("api" | "orchestrator" | "runner")[];
            roots: string[];
            /** @description runners it has now */
            running: number;
            /** @description round the programs that read videos and try models; null: without the role runner */
            sandbox: ("full" | "limits" | "none") | null;
            /** @description runners it takes at most */
            slots: number;
            startedAt: string;
            version: string;
            /** @description models that run here or ran lately, as scenarios name them */
            warm: string[];
        };
        Prediction: {
            detections: {
                /** @description x, y, width, height in pixels of the picture as displayed, clipped to it, 2 decimals */
                box: number[];
                class: string;
                classId: number;
                /** @description 0..1, 4 decimals */
                score: number;
            }[];
            /** @description 0-based index in the source, in presentation order */
            frame: number;
            /** @description the container's own presentation time in ms, unshifted, 3 decimals; null where it has none */
            ptsMs: number | null;
        } | {
            error: {
                code: string;
                message: string;
            };
            /** @description 0-based index in the source, in presentation order */
            frame: number;
            /** @description the container's own presentation time in ms, unshifted, 3 decimals; null where it has none */
            ptsMs: number | null;
        };
        /** @description RFC 9457 problem document */
        Problem: {
            /** @description stable; what a program decides by */
            code: string;
            /** @description what happened here and what to do about it */
            detail: string;
            errors?: {
                message: string;
                /** @description where in the request, such as `sampling.every` */
                path: string;
            }[];
            requestId: string;
            status: number;
            title: string;
            /** @description a URN made of the code */
            type: string;
        };
        /** @description data of a `progress` event */
        ProgressEvent: {
            progress: {
                etaMs: number | null;
                fps: number | null;
                /** @description selected frames with a committed result */
                framesDone: number;
                framesTotal: number | null;
                lastFrame: number | null;
            };
            run: number;
        };
        Rejection: {
            /** @description when the refusal was stored */
            at: string;
            /** @description of the command, as text; a long one is cut */
            body: string;
            id: string;
            /** @description of the actor that it was for */
            kind: string;
            /** @description why: the code and words that its sender was answered, or would have been */
            problem: {
                code: string;
                errors?: {
                    message: string;
                    path: string;
                }[];
                frame?: number;
                message: string;
            };
            /** @description of the HTTP request that sent it */
            requestId?: string;
            verb: string;
        };
        Scenario: {
            /** @description true when every selected frame of the run has its result */
            complete: boolean;
            createdAt: string;
            engine: {
                /** @description CPU class: architecture and the vector extensions that change rounding */
                cpu: string;
                /** @description name and version, such as `ffmpeg 7.1.1` */
                decoder: string;
                /** @description version */
                onnxruntime: string;
                /** @description execution provider, such as `cpu` */
                provider: string;
            } | null;
            error: {
                code: string;
                frame?: number;
                message: string;
            } | null;
            history: {
                at: string;
                from: ("init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive") | null;
                reason: string | null;
                to: "init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive";
            }[];
            /** @description 1 to 64 of A-Z a-z 0-9 _ - */
            id: string;
            model: {
                classes: string[];
                /** @description yolov8: [1, 4+C, N] decoded cx cy w h and class scores; yolox: [1, N, 5+C] undecoded grids 8/16/32 */
                family: "yolov8" | "yolox";
                /** @description registered name, or the file name without .onnx */
                name: string;
                /** @description of the file, hex */
                sha256: string;
            } | null;
            outcome: ("completed" | "stopped" | "failed") | null;
            progress: {
                etaMs: number | null;
                fps: number | null;
                /** @description selected frames with a committed result */
                framesDone: number;
                framesTotal: number | null;
                lastFrame: number | null;
            };
            reason: string | null;
            run: number;
            runners: {
                attempt: number;
                node: string | null;
                pid: number | null;
                restarts: number;
                segment: number;
                /** @description placing, starting, running, backoff, stopping, closing or ended */
                state: string;
            }[];
            runs: number[];
            source: {
                codec: string;
                container: string;
                /** @description as the container claims it */
                durationMs: number | null;
                /** @description as the container claims it; only for progress, never for correctness */
                framesEstimate: number | null;
                /** @description pixels of the picture as displayed: rotation and pixel aspect applied */
                height: number;
                identity: {
                    /** @description of the first and the last MiB, hex */
                    sha256: string;
                    /** @description bytes */
                    size: number;
                };
                /** @description clockwise degrees that a player applies: 0, 90, 180 or 270 */
                rotation: number;
                /** @description presentation time of the first frame */
                startMs: number | null;
                /** @description pixels of the picture as displayed: rotation and pixel aspect applied */
                width: number;
            } | null;
            spec: {
                allowMixedEngine: boolean;
                classes: string[] | null;
                inference: {
                    /** @enum {string} */
                    kind: "local";
                } | {
                    /** @enum {string} */
                    kind: "remote";
                    url: string;
                };
                iou: number;
                model: string;
                onFrameError: "fail" | "skip";
                recordThreshold: number;
                restart: {
                    /** @default 5 */
                    intensity: number;
                    /** @default 60000 */
                    periodMs: number;
                };
                sampling: {
                    /** @description Take every N-th frame, counted from `from`. */
                    every?: number;
                    /** @description Take at most this many frames a second. */
                    fps?: number;
                    /** @description First source frame, inclusive. */
                    from?: number;
                    /** @description Last source frame, inclusive. */
                    to?: number;
                };
                segments: number;
                source: {
                    uri: string;
                };
                threshold: number;
            };
            state: "init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive";
            updatedAt: string;
            warnings: string[];
        };
        /** @description data of a `state` event; `scenario`, as it is now, is in the one of its newest transition */
        StateEvent: {
            at: string;
            from: ("init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive") | null;
            outcome: ("completed" | "stopped" | "failed") | null;
            reason: string | null;
            run: number;
            scenario?: components["schemas"]["Scenario"];
            to: "init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive";
        };
        TimelineItem: {
            /** @description wall clock of who saw it; the order is that of the journal */
            at: string;
            attempt?: number;
            code?: string;
            frame?: number;
            node?: string;
            run?: number;
            segment?: number;
            /** @description the fact in words */
            text: string;
            /** @description of the fact: docs/EVENTS.md */
            type: string;
        };
        TreeNode: {
            attempt?: number;
            children: components["schemas"]["TreeNode"][];
            /** @description child id within its supervisor, such as `scenario/cam1` */
            id: string;
            /** @description what it is: node, orchestrator, scenario, runner, nats-server, … */
            kind: string;
            node: string | null;
            pid: number | null;
            restarts: number;
            /** @description starting, running, restarting, stopping, terminated, … */
            state: string;
            strategy?: string;
            type: "supervisor" | "worker";
        };
    };
    responses: never;
    parameters: never;
    requestBodies: never;
    headers: never;
    pathItems: never;
}
export type $defs = Record<string, never>;
export interface operations {
    listModels: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the models */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Model"][];
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listNodes: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the nodes */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Node"][];
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    drainNode: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example n1
                 */
                node: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the node, which was told */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Node"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description node_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    undrainNode: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example n1
                 */
                node: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the node, which was told */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Node"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description node_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listRejected: {
        parameters: {
            query?: {
                /** @description the nextCursor of the page before */
                cursor?: string;
                limit?: number;
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description a page of refusals */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Rejection"][];
                        nextCursor?: string;
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listScenarios: {
        parameters: {
            query?: {
                /** @description the nextCursor of the page before */
                cursor?: string;
                limit?: number;
                state?: "init_startup" | "in_startup_processing" | "active" | "init_shutdown" | "in_shutdown_processing" | "inactive";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description a page of scenarios */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["Scenario"][];
                        nextCursor?: string;
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    createScenario: {
        parameters: {
            query?: never;
            header?: {
                /** @description the same key and body within 24 h answer the same scenario */
                "idempotency-key"?: string;
            };
            path?: never;
            cookie?: never;
        };
        requestBody: {
            content: {
                /**
                 * @example {
                 *       "id": "demo",
                 *       "source": {
                 *         "uri": "test_videos/test_video.mp4"
                 *       },
                 *       "model": "shapes"
                 *     }
                 */
                "application/json": {
                    /** @default false */
                    allowMixedEngine?: boolean;
                    classes?: string[];
                    /** @description 1 to 64 of A-Z a-z 0-9 _ - */
                    id?: string;
                    inference?: {
                        /** @enum {string} */
                        kind: "local";
                    } | {
                        /** @enum {string} */
                        kind: "remote";
                        url: string;
                    };
                    /** @default 0.45 */
                    iou?: number;
                    /** @description a registered name or the path of an .onnx file */
                    model: string;
                    onFrameError?: "fail" | "skip";
                    /** @default 0.1 */
                    recordThreshold?: number;
                    restart?: {
                        /** @default 5 */
                        intensity?: number;
                        /** @default 60000 */
                        periodMs?: number;
                    };
                    sampling?: {
                        /** @description Take every N-th frame, counted from `from`. */
                        every?: number;
                        /** @description Take at most this many frames a second. */
                        fps?: number;
                        /** @description First source frame, inclusive. */
                        from?: number;
                        /** @description Last source frame, inclusive. */
                        to?: number;
                    };
                    /** @default 1 */
                    segments?: number;
                    source: {
                        /** @description a path below one of the node roots */
                        uri: string;
                    };
                    /** @default true */
                    start?: boolean;
                    /** @default 0.25 */
                    threshold?: number;
                };
            };
        };
        responses: {
            /** @description created (or created before with the same Idempotency-Key) */
            201: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_exists, idempotency_conflict */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_large */
            413: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unsupported_media_type */
            415: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description source_unreadable, source_not_allowed, model_not_found, model_unsupported, class_unknown, not_supported_yet */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description mailbox_full, too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getScenario: {
        parameters: {
            query?: {
                /**
                 * @description seconds; 0 or absent: answers at once
                 * @example 30
                 */
                wait?: number;
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the scenario */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    deleteScenario: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description deleted */
            204: {
                headers: {
                    [name: string]: unknown;
                };
                content?: never;
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_running */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description mailbox_full, too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    streamEvents: {
        parameters: {
            query?: {
                /** @description now: without the predictions that are there already */
                from?: "start" | "now";
                /** @description as the header Last-Event-ID, which goes before it; for tools that cannot send one */
                lastEventId?: string;
                /** @description predictions and progress of this run only; when absent of the latest and all that follow */
                run?: number;
                /** @description which events, separated by commas */
                types?: string;
            };
            header?: {
                /** @description the id of the last event that was received */
                "last-event-id"?: string;
            };
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the events, for as long as the reader stays */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/event-stream": string;
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found, run_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    exportScenario: {
        parameters: {
            query?: {
                /** @description coco is not in this version yet */
                format?: "jsonl" | "csv" | "coco";
                /** @description the latest when absent */
                run?: number;
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the predictions */
            200: {
                headers: {
                    /** @description whether every selected frame is in it */
                    "Troupe-Complete"?: "true" | "false";
                    /** @description where its manifest is */
                    "Troupe-Manifest"?: string;
                    [name: string]: unknown;
                };
                content: {
                    "application/x-ndjson": string;
                    "text/csv": string;
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found, run_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description not_supported_yet */
            422: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description not_ready, unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getManifest: {
        parameters: {
            query?: {
                /** @description the latest when absent */
                run?: number;
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description what an export is the result of, and the digest it can be checked by */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        complete: boolean;
                        engine: {
                            /** @description CPU class: architecture and the vector extensions that change rounding */
                            cpu: string;
                            /** @description name and version, such as `ffmpeg 7.1.1` */
                            decoder: string;
                            /** @description version */
                            onnxruntime: string;
                            /** @description execution provider, such as `cpu` */
                            provider: string;
                        } | null;
                        /** @description predictions: lines of the JSONL export */
                        frames: number;
                        model: {
                            classes: string[];
                            /** @description yolov8: [1, 4+C, N] decoded cx cy w h and class scores; yolox: [1, N, 5+C] undecoded grids 8/16/32 */
                            family: "yolov8" | "yolox";
                            /** @description registered name, or the file name without .onnx */
                            name: string;
                            /** @description of the file, hex */
                            sha256: string;
                        } | null;
                        run: number;
                        /** @description 1 to 64 of A-Z a-z 0-9 _ - */
                        scenario: string;
                        segments: {
                            engine: {
                                /** @description CPU class: architecture and the vector extensions that change rounding */
                                cpu: string;
                                /** @description name and version, such as `ffmpeg 7.1.1` */
                                decoder: string;
                                /** @description version */
                                onnxruntime: string;
                                /** @description execution provider, such as `cpu` */
                                provider: string;
                            } | null;
                            frames: number;
                            lastFrame: number | null;
                            segment: number;
                            warnings: string[];
                        }[];
                        /** @description of the JSONL export, hex */
                        sha256: string;
                        source: {
                            codec: string;
                            container: string;
                            /** @description as the container claims it */
                            durationMs: number | null;
                            /** @description as the container claims it; only for progress, never for correctness */
                            framesEstimate: number | null;
                            /** @description pixels of the picture as displayed: rotation and pixel aspect applied */
                            height: number;
                            identity: {
                                /** @description of the first and the last MiB, hex */
                                sha256: string;
                                /** @description bytes */
                                size: number;
                            };
                            /** @description clockwise degrees that a player applies: 0, 90, 180 or 270 */
                            rotation: number;
                            /** @description presentation time of the first frame */
                            startMs: number | null;
                            /** @description pixels of the picture as displayed: rotation and pixel aspect applied */
                            width: number;
                        } | null;
                        spec: {
                            allowMixedEngine: boolean;
                            classes: string[] | null;
                            inference: {
                                /** @enum {string} */
                                kind: "local";
                            } | {
                                /** @enum {string} */
                                kind: "remote";
                                url: string;
                            };
                            iou: number;
                            model: string;
                            onFrameError: "fail" | "skip";
                            recordThreshold: number;
                            restart: {
                                /** @default 5 */
                                intensity: number;
                                /** @default 60000 */
                                periodMs: number;
                            };
                            sampling: {
                                /** @description Take every N-th frame, counted from `from`. */
                                every?: number;
                                /** @description Take at most this many frames a second. */
                                fps?: number;
                                /** @description First source frame, inclusive. */
                                from?: number;
                                /** @description Last source frame, inclusive. */
                                to?: number;
                            };
                            segments: number;
                            source: {
                                uri: string;
                            };
                            threshold: number;
                        };
                        /** @description version */
                        troupe: string;
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found, run_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description not_ready, unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    listPredictions: {
        parameters: {
            query?: {
                /** @description only detections of this class */
                class?: string;
                /** @description the nextCursor of the page before */
                cursor?: string;
                /** @description first source frame, inclusive */
                fromFrame?: number;
                /** @example 10 */
                limit?: number;
                /** @description only detections from here on */
                minScore?: number;
                /** @description the latest when absent */
                run?: number;
                /** @description last source frame, inclusive */
                toFrame?: number;
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description a page of predictions */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @description false: the run still goes on or was stopped; what is here has no gap */
                        complete: boolean;
                        items: components["schemas"]["Prediction"][];
                        nextCursor?: string;
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found, run_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description not_ready, unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    startScenario: {
        parameters: {
            query?: {
                /** @description a new run, from the first frame */
                from?: "start";
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it was running already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description it starts */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description illegal_transition */
            409: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description mailbox_full, too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    stopScenario: {
        parameters: {
            query?: never;
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it was inactive already */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description it stops */
            202: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["Scenario"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description mailbox_full, too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getTimeline: {
        parameters: {
            query?: {
                /** @description all runs when absent */
                run?: number;
            };
            header?: never;
            path: {
                /**
                 * @description 1 to 64 of A-Z a-z 0-9 _ -
                 * @example demo
                 */
                id: string;
            };
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the timeline */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        items: components["schemas"]["TimelineItem"][];
                        /** @description facts before these that are left out */
                        omitted: number;
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description scenario_not_found, run_not_found */
            404: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getTree: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the root */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": components["schemas"]["TreeNode"];
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getHealth: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it is */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {string} */
                        status: "ok";
                    };
                };
            };
        };
    };
    getMetrics: {
        parameters: {
            query?: {
                scope?: "cluster" | "node";
            };
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description the metrics */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "text/plain": string;
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
    getReadiness: {
        parameters: {
            query?: never;
            header?: never;
            path?: never;
            cookie?: never;
        };
        requestBody?: never;
        responses: {
            /** @description it can */
            200: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/json": {
                        /** @enum {string} */
                        status: "ready";
                    };
                };
            };
            /** @description invalid_request */
            400: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description unauthenticated */
            401: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description forbidden */
            403: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description too_many_requests */
            429: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description internal */
            500: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
            /** @description not_ready, unavailable */
            503: {
                headers: {
                    [name: string]: unknown;
                };
                content: {
                    "application/problem+json": components["schemas"]["Problem"];
                };
            };
        };
    };
}
