//! The recorded conversations, and what becomes of each.

/// A recorded conversation.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) how: How,
}

/// What is not compared: lanes, by a part of their names, each with the reason.
pub(crate) type Except = &'static [(&'static str, &'static str)];

pub(crate) enum How {
    /// Played, and everything is compared but for the exceptions.
    Played { except: Except },
    /// Played up to this line of the file; from there on, as the reason says, it is about something else.
    PlayedUntil { line: usize, why: &'static str, except: Except },
    /// As before; tasks with executors of their own are launched as tasks of the agent's.
    PlayedWithoutExecutors { except: Except },
    /// Played request by request over HTTP; what is not compared is named by its id or its label.
    PlayedOverHttp { except: Except },
    /// Played request by request against an agent over HTTP; what is not compared is named by its id.
    PlayedByExecutors { except: Except },
    /// Asked of a master in which as much goes on, request by request; what is not compared is named by its id, or by a field.
    PlayedByOperators { except: Except },
    /// Not played, and why.
    Not(&'static str),
}

const fn played(name: &'static str) -> Row {
    Row { name, how: How::Played { except: &[] } }
}

const fn played_but(name: &'static str, except: Except) -> Row {
    Row { name, how: How::Played { except } }
}

const fn without_executors(name: &'static str, except: Except) -> Row {
    Row { name, how: How::PlayedWithoutExecutors { except } }
}

const fn over_http(name: &'static str, except: Except) -> Row {
    Row { name, how: How::PlayedOverHttp { except } }
}

const fn not(name: &'static str, why: &'static str) -> Row {
    Row { name, how: How::Not(why) }
}

const GZIP: &str = "bodies and answers in gzip are not built";
const VERSION: &str = "what is told of the build";
const ENUM: &str = "a required enum of an unknown name reads as absent here";
const EXECUTORS: &str =
    "the times of real processes; tests/docker/mesos_agent has the agent's side of it, case by case";
const AFTER_THE_END: &str = "what an executor says of a task that has ended, or that it never got, is passed over here, acknowledged or not";
const OPERATORS: &str = "the operator's HTTP endpoints";
const WATCHED: &str = "the times of agents that are killed; `who_watches` and `an_operator_who_subscribes` have it, event by event";

const CONSTRAINTS: &str = "offer constraints are not built";
const TICKS: &str =
    "resources come back within milliseconds of a tick: with which of two they are offered is time";
const EMPTY_CHECK: &str = "KILLING is said by the agent here, without the empty check of Mesos's executor";
const EXECUTOR_STAYS: &str = "an executor of the framework's goes on holding resources";

const DEFAULT: &str = "what has its default is left out here";
const SIMULATED: &str = "what executors say, and simulated agents do not";
const REFUSED: &str = "refused here, by name";
const ENDPOINTS: Except = &[
    ("git_sha", VERSION),
    ("git_branch", VERSION),
    ("build_date", VERSION),
    ("build_time", VERSION),
    ("build_user", VERSION),
    ("cluster", "a cluster has no name here"),
    ("offer_constraints", CONSTRAINTS),
    ("consecutive_failures", DEFAULT),
    ("grace_period_seconds", DEFAULT),
    ("interval_seconds", DEFAULT),
    ("timeout_seconds", DEFAULT),
    ("shell", DEFAULT),
    ("privileged", DEFAULT),
    ("checkpoint", DEFAULT),
    ("role", "resources here always name it"),
    ("container_status", SIMULATED),
    ("executor_id", SIMULATED),
    ("healthy", SIMULATED),
    ("reason", SIMULATED),
    ("message", SIMULATED),
    ("executor_ids", "offers do not tell which executors there are"),
    ("ports", "ports are an agent's own, and not added up over agents"),
    ("34", "where it is"),
    ("40", "answers for browsers of before are not built"),
    ("42", REFUSED),
    ("46", REFUSED),
    ("62", REFUSED),
    ("69", REFUSED),
];

pub(crate) const ROWS: &[Row] = &[
    played("01-subscribe-heartbeats-offers"),
    played("01-subscribe-heartbeats-offers-pb"),
    over_http("02-errors-http", &[("83", GZIP)]),
    // Mesos aborts in the end, where an embedded master answers 501: what was not answered is not compared.
    over_http("02b-unknown-call-type", &[]),
    played_but(
        "03-subscribe-refusals",
        &[("sched-23 ", CONSTRAINTS), ("sched-24 ", CONSTRAINTS), ("sched-25 ", CONSTRAINTS)],
    ),
    played("04-second-subscriber"),
    over_http("05-zk-two-masters", &[("6", VERSION), ("15", VERSION)]),
    played_but("06-offers-filters", &[("sched-3 agent", CONSTRAINTS)]),
    Row {
        name: "07-rescind",
        how: How::PlayedUntil {
            line: 27,
            why: "from here on a quota and reservations change what is offered; deactivation and a killed agent are \
                  played in 14, 15 and 18",
            except: &[],
        },
    },
    played_but(
        "08-command-task-lifecycle",
        &[("agent agent1", TICKS), ("task t-user", "the executor's text holds ids of the recording")],
    ),
    not("09-launch-validation", "played by `mesos_refusals`, attempt by attempt"),
    played_but("10-docker-tasks", &[("agent agent1", TICKS)]),
    not("10-docker-tasks-pb", "the same as 10-docker-tasks"),
    played("11-health-checks"),
    played_but(
        "12-checks",
        &[("task c-cmd", EMPTY_CHECK), ("task c-http", EMPTY_CHECK), ("task c-tcp", EMPTY_CHECK)],
    ),
    played("13-acknowledgements"),
    played_but(
        "13-acknowledgements-pb",
        &[
            ("sched-1 agent agent1", TICKS),
            ("sched-2 task t2", "a call and the answer of an agent to a subscription, a millisecond apart"),
        ],
    ),
    without_executors("14-reconcile", &[("agent agent1", EXECUTOR_STAYS)]),
    without_executors("14-reconcile-pb", &[("agent agent1", EXECUTOR_STAYS)]),
    played("15-agent-kill9-restart-in-time"),
    played("16-agent-unreachable-and-return"),
    played_but(
        "17-agent-leaves-gracefully",
        &[("agent agent1", "two frameworks: which of them is offered an agent is chance")],
    ),
    played("18-drain-deactivate-gone"),
    played("19-maintenance"),
    played("19-maintenance-pb"),
    played_but(
        "20-master-kill9-restart",
        &[
            ("sched-1 task ends", "what is told in the millisecond in which the master dies"),
            ("sched-2 agent agent1", TICKS),
        ],
    ),
    played("20-master-kill9-restart-pb"),
    played("21-master-restart-agent-never-returns"),
    played("22-teardown-and-removal"),
    not("23-reserve-and-volumes", "reservations and volumes are not built"),
    not("23-reserve-and-volumes-pb", "reservations and volumes are not built"),
    not("24-multi-role", "several roles: which of them is offered an agent is chance"),
    not("25-launch-group", "task groups are not built"),
    not("25-launch-group-pb", "task groups are not built"),
    played_but("26-update-framework", &[("agent agent1", CONSTRAINTS)]),
    Row {
        name: "27-executor-lifecycle",
        how: How::PlayedByExecutors {
            except: &[
                ("KILL {\"task_id\":{\"value\":\"t2\"}}", "an agent here always names the grace"),
                ("told of a task that is not there", AFTER_THE_END),
                ("acknowledged too often", AFTER_THE_END),
            ],
        },
    },
    not("27-executor-lifecycle-pb", "the same as 27-executor-lifecycle"),
    not("27b-executor-shutdown-ignored", EXECUTORS),
    not("27c-executor-info-differs", EXECUTORS),
    Row {
        name: "28-executor-errors",
        how: How::PlayedByExecutors {
            except: &[
                ("27", ENUM),
                ("t1 TASK_RUNNING SOURCE_EXECUTOR  ", ENUM),
                ("t1 TASK_LOST SOURCE_EXECUTOR  ", ENUM),
                ("acknowledged too often", ENUM),
            ],
        },
    },
    not("29-executor-agent-restart", EXECUTORS),
    Row { name: "30-executor-never-subscribes", how: How::PlayedByExecutors { except: &[] } },
    Row { name: "31-operator-endpoints", how: How::PlayedByOperators { except: ENDPOINTS } },
    not("32-operator-subscribe", WATCHED),
    not("33-sandbox-files", OPERATORS),
    played("34-not-partition-aware"),
    played("35-no-checkpoint"),
    over_http("36-authentication", &[]),
    over_http(
        "37-json-encoding",
        &[("38", ENUM), ("39", ENUM), ("43", "a value of a map is called by its key here, not `value`")],
    ),
    over_http("37b-json-optional-enums", &[]),
    over_http(
        "38-http-details",
        &[
            ("Expect: 100-continue", "hyper says that the body may come"),
            ("garbage", "hyper says 400 before it closes"),
            ("GET /version with gzip accepted", VERSION),
        ],
    ),
    over_http("40-master-starting", &[("8", "the paths are all there from the start")]),
    played_but("41-protobuf-basics", &[("agent agent1", TICKS)]),
    played_but("41-protobuf-basics-pb", &[("sched-2 agent agent1", TICKS)]),
    not("42-operator-protobuf", OPERATORS),
    played("43-filters-over-failover"),
    not("47-resources-and-domains", "static reservations and fault domains are not built"),
    played("48-heartbeat-silence"),
    played("49-health-check-odds"),
    played("51-docker-kill-repeated"),
    Row {
        name: "52-executor-updates-after-terminal",
        how: How::PlayedByExecutors { except: &[("told of a task that is not there", AFTER_THE_END)] },
    },
    played("53-command-kill-shorter-grace"),
    not("54-command-kill-http-executor", "as 53, with another command executor, which is not the master's"),
    played("56-default-timing"),
    over_http("57-compressed-answers", &[("2", GZIP), ("3", VERSION), ("4", GZIP), ("5", OPERATORS)]),
];
