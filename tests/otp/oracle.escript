#!/usr/bin/env escript
%%! +S 1:1 +SDio 1 -kernel logger_level none
%% Runs scripts on Erlang's own supervisor and writes what happened: `escript oracle.escript SCRIPTS OUT`, where SCRIPTS has one
%% tuple for each script (see script.ts) and OUT gets lines, a script at a time:
%%
%%   script SEED      step N           its parts follow
%%   + ID KEY PARENT  ! ID  ? KEY  - KEY REASON      facts (see transcript.ts), PARENT is - for the root
%%   table ID (CHILD STATE)*           answer N RESULT      none
%%   took MS                           what the steps took, without the ticks
%%   stuck N                           the script did not come to an end: what the recorder refuses
%%
%% E1 Supervisors and workers have high priority and the driver of a script has normal one, on a single scheduler: the driver goes
%%    on only when all of them wait. It yields until nothing has happened for a while, since a process is spawned with normal
%%    priority before it takes the high one.
%% E2 What a worker does is told to the recorder of its script by a call, before it goes on; ends are the recorder's monitors'.
%% E3 The recorder decides starts: a start that is held is a call that is not answered yet.
-mode(compile).
-export([init/1, start/2, start/3]).

-define(WAVE, 150).
-define(QUIET_YIELDS, 60).
-define(STUCK_MS, 10000).
-define(SCRIPT_MS, 60000).
-define(SLOW_MS, 10).

main([Scripts, Out]) ->
    %% What is loaded on its first use is loaded by processes of normal priority: E1.
    [{module, M} = code:ensure_loaded(M) || M <- [supervisor, gen_server, gen, sys, proc_lib, logger, maps, lists]],
    {ok, Terms} = file:consult(Scripts),
    {ok, File} = file:open(Out, [write, raw, delayed_write]),
    waves(Terms, File),
    ok = file:close(File).

waves([], _) -> ok;
waves(Terms, File) ->
    {Wave, Rest} = lists:split(min(?WAVE, length(Terms)), Terms),
    Drivers = [spawn_monitor(fun() -> exit({done, run(Term)}) end) || Term <- Wave],
    [receive
         {'DOWN', Mon, process, Pid, {done, Lines}} -> ok = file:write(File, Lines);
         {'DOWN', Mon, process, Pid, Why} -> io:format(standard_error, "~p~n", [Why]), halt(1)
     after ?SCRIPT_MS ->
             io:format(standard_error, "a script does not come to an end: ~p~n", [process_info(Pid, current_stacktrace)]),
             halt(1)
     end || {Pid, Mon} <- Drivers],
    waves(Rest, File).

-record(living, {id, key, kind, pid, parent, strategy, ready = false, manner = none, asked = false}).
-record(log, {counter, lines = [], living = [], born = #{}, failing = #{}, holding = [], held = [], free = false,
              pids = #{}}).

%% The driver of a script.

run({Seed, Tree, Steps}) ->
    Counter = counters:new(1, []),
    Recorder = spawn_opt(fun() -> process_flag(trap_exit, true), recorder(#log{counter = Counter}) end, [link, {priority, high}]),
    put(recorder, Recorder),
    put(counter, Counter),
    put(took, 0),
    Keeper = spawn_opt(fun() -> keep(Recorder, Tree) end, [link, {priority, high}]),
    try
        step(0, fun() -> Keeper ! go, ok end),
        lists:foldl(fun(Step, N) -> step(N, fun() -> take(Step, N) end), N + 1 end, 1, Steps)
    catch
        throw:stuck -> ok
    end,
    Lines = call(Recorder, lines),
    unlink(Keeper),
    exit(Keeper, kill),
    Took = get(took) div 1000,
    [["script ", integer_to_list(Seed), $\n], Lines, ["took ", integer_to_list(Took), $\n]].

step(N, Deed) ->
    note(["step ", integer_to_list(N)]),
    Since = erlang:monotonic_time(microsecond),
    Ticked =
        case Deed() of
            none -> note("none"), 0;
            {ticked, Us} -> Us;
            _ -> 0
        end,
    settle(N),
    case call(recorder(), held) of
        [] ->
            [note(table(Up)) || Up <- call(recorder(), supervisors)];
        _ -> ok
    end,
    put(took, get(took) + erlang:monotonic_time(microsecond) - Since - Ticked).

%% E1
settle(N) -> settle(N, erlang:monotonic_time(millisecond) + ?STUCK_MS).

settle(N, Until) ->
    quiet(counters:get(get(counter), 1), ?QUIET_YIELDS),
    case call(recorder(), busy) of
        false -> ok;
        true ->
            case erlang:monotonic_time(millisecond) > Until of
                true -> note(["stuck ", integer_to_list(N)]), throw(stuck);
                false -> timer:sleep(1), settle(N, Until)
            end
    end.

quiet(_, 0) -> ok;
quiet(Count, Left) ->
    erlang:yield(),
    case counters:get(get(counter), 1) of
        Count -> quiet(Count, Left - 1);
        Other -> quiet(Other, ?QUIET_YIELDS)
    end.

take({exit, Exits}, N) ->
    Alive = [{Pid, Sup, Reason} || {Id, Reason} <- Exits, {Pid, Sup} <- [call(recorder(), {worker, Id})], Pid =/= none],
    case Alive of
        [] -> none;
        [{Pid, _, Reason}] -> finish(Pid, Reason);
        [{_, Sup, _} | _] ->
            true = erlang:suspend_process(Sup),
            [begin finish(Pid, Reason), settle_dead(Pid, N) end || {Pid, _, Reason} <- Alive],
            true = erlang:resume_process(Sup)
    end;
take({fail, Id, Times}, _) -> call(recorder(), {fail, Id, Times});
take({hold, Id}, _) -> call(recorder(), {hold, Id});
take({'let', Id}, _) -> call(recorder(), {'let', Id});
take({stop, Id}, _) -> at(Id, fun(Pid) -> aside(fun() -> sys:terminate(Pid, shutdown, infinity) end) end);
take({kill, Id}, _) -> at(Id, fun(Pid) -> exit(Pid, kill) end);
take({start, At, Child}, N) ->
    at(At, fun(Pid) ->
                   Spec = case is_atom(Child) of true -> [Child]; false -> spec(recorder(), Child) end,
                   ask(N, fun() -> started(supervisor:start_child(Pid, Spec)) end)
           end);
take({terminate, At, Id}, N) ->
    case call(recorder(), {dynamic, At, Id}) of
        no -> at(At, fun(Pid) -> ask(N, fun() -> supervisor:terminate_child(Pid, Id) end) end);
        Child ->
            %% Its pid tells which incarnation is meant, an id does not: none may be about to start.
            case call(recorder(), held) of
                [] -> at(At, fun(Pid) -> ask(N, fun() -> supervisor:terminate_child(Pid, Child) end) end);
                _ -> none
            end
    end;
take({restart, At, Id}, N) -> at(At, fun(Pid) -> ask(N, fun() -> started(supervisor:restart_child(Pid, Id)) end) end);
take({delete, At, Id}, N) -> at(At, fun(Pid) -> ask(N, fun() -> supervisor:delete_child(Pid, Id) end) end);
take({count, At}, N) ->
    case call(recorder(), held) of
        [] -> at(At, fun(Pid) -> ask(N, fun() -> counts(supervisor:count_children(Pid)) end) end);
        _ -> none
    end;
take({tick, Ms}, _) ->
    Since = erlang:monotonic_time(microsecond),
    timer:sleep(Ms),
    {ticked, erlang:monotonic_time(microsecond) - Since};
take('end', N) ->
    call(recorder(), free),
    release(N),
    case call(recorder(), supervisors) of
        [{_, Root, _} | _] -> aside(fun() -> sys:terminate(Root, shutdown, infinity) end);
        [] -> ok
    end.

release(N) ->
    settle(N),
    case call(recorder(), held) of
        [] -> ok;
        [Id | _] -> call(recorder(), {'let', Id}), release(N)
    end.

finish(Pid, killed) -> exit(Pid, kill);
finish(Pid, Reason) -> Pid ! {finish, reason(Reason)}.

reason('{shutdown}') -> {shutdown, a_term};
reason(error) -> {a_defect, "in the script"};
reason(Reason) -> Reason.

settle_dead(Pid, N) ->
    case is_process_alive(Pid) of
        true -> erlang:yield(), settle_dead(Pid, N);
        false -> ok
    end.

at(Id, Work) ->
    case call(recorder(), {supervisor, Id}) of
        none -> none;
        Pid -> Work(Pid)
    end.

aside(Work) -> spawn_opt(fun() -> catch Work() end, [{priority, high}]).

ask(N, Call) ->
    Recorder = recorder(),
    aside(fun() ->
                  Result = try Call() catch exit:_ -> gone end,
                  call(Recorder, {answer, N, answer(Result)})
          end).

counts(Counts) ->
    Of = fun(Key) -> integer_to_list(proplists:get_value(Key, Counts)) end,
    list_to_atom(lists:append(lists:join("/", [Of(Key) || Key <- [specs, active, supervisors, workers]]))).

started({ok, _}) -> ok;
started(Other) -> Other.

answer({error, {already_started, _}}) -> already_started;
answer({error, {fails, _}}) -> error;
answer({error, {{shutdown, {failed_to_start_child, _, _}}, _}}) -> error;
answer({error, {shutdown, {failed_to_start_child, _, _}}}) -> error;
answer({error, fails}) -> error;
answer({error, Known}) when is_atom(Known) -> Known;
answer(Known) when is_atom(Known) -> Known.

table({Id, Pid, Strategy}) ->
    Children = supervisor:which_children(Pid),
    Rows = case Strategy of
               simple_one_for_one -> [[dynamic(State), state(State)] || {_, State, _, _} <- Children];
               _ -> [[[$\s, atom_to_list(Child)], state(State)] || {Child, State, _, _} <- lists:reverse(Children)]
           end,
    ["table ", atom_to_list(Id), Rows].

dynamic(restarting) -> " -";
dynamic(Pid) -> [$\s, atom_to_list(call(recorder(), {id, Pid}))].

state(restarting) -> " restarting";
state(undefined) -> " terminated";
state(Pid) when is_pid(Pid) -> " running".

recorder() -> get(recorder).

note(Line) -> call(recorder(), {note, Line}).

call(Server, Request) ->
    Ref = make_ref(),
    Server ! {call, self(), Ref, Request},
    receive {Ref, Reply} -> Reply end.

%% The parent of the root.

keep(Recorder, Tree) ->
    process_flag(trap_exit, true),
    receive go -> ok end,
    _ = start(Recorder, Tree),
    receive never -> ok end.

%% The tree.

start(Recorder, Node) ->
    Id = element(2, Node),
    case call(Recorder, {start, Id}) of
        fails -> {error, fails};
        ok -> up(Recorder, Node)
    end.

up(Recorder, {worker, Id, {_, _, Manner}}) ->
    Parent = self(),
    Pid = spawn_opt(fun() -> process_flag(trap_exit, true), work(Recorder, Parent, Manner) end, [link, {priority, high}]),
    call(Recorder, {up, worker, Id, Pid, Manner}),
    {ok, Pid};
up(Recorder, Branch) ->
    case supervisor:start_link(?MODULE, {Recorder, self(), Branch}) of
        {error, _} = Error -> call(Recorder, {note, ["! ", atom_to_list(element(2, Branch))]}), Error;
        {ok, Pid} -> call(Recorder, {ready, Pid}), {ok, Pid}
    end.

%% The child of a simple_one_for_one.
start(Recorder, Template, Id) -> start(Recorder, {worker, Id, Template}).

init({Recorder, Parent, {supervisor, Id, _, _, Strategy, Intensity, Period, Inside}}) ->
    process_flag(priority, high),
    call(Recorder, {up, supervisor, Id, Parent, Strategy}),
    Specs =
        case Inside of
            {Restart, Shutdown, _} ->
                [#{id => template, restart => Restart, shutdown => Shutdown, start => {?MODULE, start, [Recorder, Inside]}}];
            Children -> [spec(Recorder, Child) || Child <- Children]
        end,
    {ok, {#{strategy => Strategy, intensity => Intensity, period => Period}, Specs}}.

spec(Recorder, {worker, Id, {Restart, Shutdown, _}} = Node) ->
    #{id => Id, restart => Restart, shutdown => Shutdown, type => worker, start => {?MODULE, start, [Recorder, Node]}};
spec(Recorder, {supervisor, Id, Restart, Shutdown, _, _, _, _} = Node) ->
    #{id => Id, restart => Restart, shutdown => Shutdown, type => supervisor, start => {?MODULE, start, [Recorder, Node]}}.

%% E2
work(Recorder, Parent, Manner) ->
    receive
        {'EXIT', Parent, shutdown} ->
            case call(Recorder, asked) of
                free when Manner =:= held -> exit(shutdown);
                _ ->
                    case Manner of
                        prompt -> exit(shutdown);
                        rude -> exit(reason(error));
                        slow -> erlang:send_after(?SLOW_MS, self(), {finish, shutdown}), work(Recorder, Parent, Manner);
                        _ -> work(Recorder, Parent, Manner)
                    end
            end;
        {'EXIT', Parent, Reason} -> exit(Reason);
        {finish, Reason} -> exit(Reason)
    end.

%% The recorder.

recorder(Log) ->
    receive
        {call, From, Ref, lines} ->
            From ! {Ref, lists:reverse(Log#log.lines)};
        {call, From, Ref, Request} ->
            case handle(Request, From, Ref, Log) of
                {reply, Reply, Next} -> From ! {Ref, Reply}, recorder(Next);
                {later, Next} -> recorder(Next)
            end;
        {'DOWN', _, process, Pid, Why} ->
            counters:add(Log#log.counter, 1, 1),
            recorder(ended(Pid, Why, Log));
        {'EXIT', _, _} -> recorder(Log)
    end.

happened(Line, Log) ->
    counters:add(Log#log.counter, 1, 1),
    Log#log{lines = [[Line, $\n] | Log#log.lines]}.

handle({note, Line}, _, _, Log) -> {reply, ok, happened(Line, Log)};
handle({answer, N, Result}, _, _, Log) ->
    {reply, ok, happened(["answer ", integer_to_list(N), $\s, atom_to_list(Result)], Log)};
handle({start, Id}, From, Ref, Log) ->
    case lists:member(Id, Log#log.holding) of
        true ->
            counters:add(Log#log.counter, 1, 1),
            {later, Log#log{holding = Log#log.holding -- [Id], held = [{Id, From, Ref} | Log#log.held]}}; % E3
        false ->
            {Verdict, Next} = verdict(Id, Log),
            {reply, Verdict, Next}
    end;
handle({up, worker, Id, Pid, Manner}, Sup, _, Log) ->
    {reply, ok, born(#living{id = Id, kind = worker, pid = Pid, parent = Sup, manner = Manner}, Log)};
handle({up, supervisor, Id, Parent, Strategy}, Pid, _, Log) ->
    {reply, ok, born(#living{id = Id, kind = supervisor, pid = Pid, parent = Parent, strategy = Strategy}, Log)};
handle({ready, Pid}, _, _, Log) ->
    case lists:keyfind(Pid, #living.pid, Log#log.living) of
        false -> {reply, ok, Log};
        Living -> {reply, ok, Log#log{living = lists:keystore(Pid, #living.pid, Log#log.living, Living#living{ready = true})}}
    end;
handle(asked, Pid, _, Log) ->
    #living{key = Key} = Living = lists:keyfind(Pid, #living.pid, Log#log.living),
    Next = happened(["? ", Key], Log),
    Reply = case Log#log.free of true -> free; false -> bound end,
    {reply, Reply, Next#log{living = lists:keystore(Pid, #living.pid, Next#log.living, Living#living{asked = true})}};
handle({fail, Id, Times}, _, _, Log) -> {reply, ok, Log#log{failing = maps:put(Id, Times, Log#log.failing)}};
handle({hold, Id}, _, _, Log) -> {reply, ok, Log#log{holding = [Id | Log#log.holding -- [Id]]}};
handle(free, _, _, Log) -> {reply, ok, Log#log{free = true, holding = []}};
handle({'let', Id}, _, _, Log) ->
    case lists:keytake(Id, 1, Log#log.held) of
        {value, {Id, Starter, StartRef}, Held} ->
            {Verdict, Next} = verdict(Id, Log#log{held = Held}),
            Starter ! {StartRef, Verdict},
            {reply, ok, Next};
        false ->
            case [Pid || #living{id = I, pid = Pid, manner = held, asked = true} <- Log#log.living, I =:= Id] of
                [Pid | _] -> Pid ! {finish, shutdown}, {reply, ok, Log};
                [] -> {reply, none, Log}
            end
    end;
handle(held, _, _, Log) ->
    Asked = [Id || #living{id = Id, manner = held, asked = true} <- Log#log.living],
    {reply, lists:sort([Id || {Id, _, _} <- Log#log.held] ++ Asked), Log};
handle(busy, _, _, Log) -> {reply, lists:any(fun busy/1, Log#log.living), Log};
handle({worker, Id}, _, _, Log) ->
    case [Living || #living{id = I, kind = worker} = Living <- Log#log.living, I =:= Id] of
        [#living{pid = Pid, parent = Sup} | _] -> {reply, {Pid, Sup}, Log};
        [] -> {reply, {none, none}, Log}
    end;
handle({supervisor, Id}, _, _, Log) ->
    case [Pid || #living{id = I, kind = supervisor, pid = Pid, ready = true} <- Log#log.living, I =:= Id] of
        [Pid | _] -> {reply, Pid, Log};
        [] -> {reply, none, Log}
    end;
handle(supervisors, _, _, Log) ->
    {reply, [{Id, Pid, Strategy} || #living{id = Id, pid = Pid, strategy = Strategy, ready = true} <- lists:reverse(Log#log.living)],
     Log};
handle({id, Pid}, _, _, Log) ->
    #living{id = Id} = lists:keyfind(Pid, #living.pid, Log#log.living),
    {reply, Id, Log};
handle({dynamic, At, Id}, _, _, Log) ->
    case [Pid || #living{id = I, pid = Pid, strategy = simple_one_for_one} <- Log#log.living, I =:= At] of
        [_ | _] -> {reply, maps:get(Id, Log#log.pids, Id), Log};
        [] -> {reply, no, Log}
    end.

%% A worker that was asked and takes its time ends soon, and so does whoever has lost its supervisor.
busy(#living{manner = Manner, asked = true}) when Manner =:= slow; Manner =:= deaf -> true;
busy(#living{parent = Parent}) -> not is_process_alive(Parent).

verdict(Id, Log) ->
    case maps:get(Id, Log#log.failing, 0) of
        0 -> {ok, Log};
        Left -> {fails, happened(["! ", atom_to_list(Id)], Log#log{failing = maps:put(Id, Left - 1, Log#log.failing)})}
    end.

born(#living{id = Id, pid = Pid, parent = Parent} = Living, Log) ->
    monitor(process, Pid),
    Number = maps:get(Id, Log#log.born, 0) + 1,
    Key = [atom_to_list(Id), $., integer_to_list(Number)],
    Above =
        case lists:keyfind(Parent, #living.pid, Log#log.living) of
            false -> "-";
            #living{key = AboveKey} -> AboveKey
        end,
    Next = happened(["+ ", atom_to_list(Id), $\s, Key, $\s, Above], Log),
    Next#log{born = maps:put(Id, Number, Log#log.born), pids = maps:put(Id, Pid, Log#log.pids),
             living = [Living#living{key = Key} | Log#log.living]}.

ended(Pid, Why, Log) ->
    case lists:keytake(Pid, #living.pid, Log#log.living) of
        {value, #living{key = Key}, Left} ->
            Next = Log#log{living = Left},
            case Why of
                {shutdown, {failed_to_start_child, _, _}} -> Next; % its `!` says it
                _ -> happened(["- ", Key, $\s, why(Why)], Next)
            end;
        false -> Log
    end.

why({shutdown, _}) -> "shutdown";
why({a_defect, _}) -> "error";
why(Why) when is_atom(Why) -> atom_to_list(Why).
