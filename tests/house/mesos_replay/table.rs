//! The recorded conversations, and what becomes of each.

use super::recording::Recording;

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
    /// Played after a change, which says why it is one.
    PlayedAs { change: fn(Recording) -> Recording, except: Except },
    /// Played request by request over HTTP; what is not compared is named by its id or its label.
    PlayedOverHttp { except: Except },
    /// Played request by request against an agent over HTTP; what is not compared is named by its id.
    PlayedByExecutors { except: Except },
    /// Asked of a master in which as much goes on, request by request; what is not compared is named by its id, or by a field.
    PlayedByOperators { except: Except },
    /// Asked of an agent with the same files, request by request; what is not compared is named by its id.
    PlayedOfFiles { except: Except },
    /// Not played, and why.
    Not(&'static str),
}

const fn played(name: &'static str) -> Row {
    Row { name, how: How::Played { except: &[] } }
}

const fn played_but(name: &'static str, except: Except) -> Row {
    Row { name, how: How::Played { except } }
}

const fn played_as(name: &'static str, change: fn(Recording) -> Recording) -> Row {
    Row { name, how: How::PlayedAs { change, except: &[] } }
}

const fn over_http(name: &'static str, except: Except) -> Row {
    Row { name, how: How::PlayedOverHttp { except } }
}

const fn by_executors(name: &'static str, except: Except) -> Row {
    Row { name, how: How::PlayedByExecutors { except } }
}

const fn not(name: &'static str, why: &'static str) -> Row {
    Row { name, how: How::Not(why) }
}

const GZIP: &str = "bodies and answers in gzip are not built";
const VERSION: &str = "what is told of the build";
const ENUM: &str = "a required enum of an unknown name reads as absent here";
const AFTER_THE_END: &str = "what an executor says of a task that has ended, or that it never got, is passed over here, acknowledged or not";
const GRACE: &str = "an agent here always names the grace";
const NOT_FOUND_AGAIN: &str = "the player has one process for an agent and its next one; that executors are found again is tested beside `executors::recovery` and in the cluster suite";
const OPERATORS: &str = "the operator's HTTP endpoints";

const CONSTRAINTS: &str = "offer constraints are not built";
const TICKS: &str =
    "resources come back within milliseconds of a tick: with which of two they are offered is time";
const EMPTY_CHECK: &str = "KILLING is said by the agent here, without the empty check of Mesos's executor";

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
    played_but("10-docker-tasks-pb", &[("agent agent1", TICKS)]),
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
    played("14-reconcile"),
    played("14-reconcile-pb"),
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
    played_as("24-multi-role", Recording::with_agents_the_other_way_round),
    not("25-launch-group", "task groups are not built"),
    not("25-launch-group-pb", "task groups are not built"),
    played_but("26-update-framework", &[("agent agent1", CONSTRAINTS)]),
    Row {
        name: "27-executor-lifecycle",
        how: How::PlayedByExecutors {
            except: &[
                ("KILL {\"task_id\":{\"value\":\"t2\"}}", GRACE),
                ("told of a task that is not there", AFTER_THE_END),
                ("acknowledged too often", AFTER_THE_END),
            ],
        },
    },
    played_as("27-executor-lifecycle-pb", Recording::without_afterlife),
    by_executors(
        "27-executor-lifecycle-pb",
        &[
            ("KILL {\"task_id\":{\"value\":\"t2\"}}", GRACE),
            ("told of a task that is not there", AFTER_THE_END),
            ("acknowledged too often", AFTER_THE_END),
        ],
    ),
    played_as("27-executor-lifecycle", Recording::without_afterlife),
    played("27b-executor-shutdown-ignored"),
    by_executors("27b-executor-shutdown-ignored", &[]),
    played("27c-executor-info-differs"),
    by_executors("27c-executor-info-differs", &[]),
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
    played_as("29-executor-agent-restart", Recording::with_agents_given_up_late),
    by_executors(
        "29-executor-agent-restart",
        &[
            ("while the agent starts", NOT_FOUND_AGAIN),
            ("late after a restart", NOT_FOUND_AGAIN),
            ("KILL {\"task_id\":{\"value\":\"t2\"}}", GRACE),
        ],
    ),
    played("30-executor-never-subscribes"),
    by_executors("30-executor-never-subscribes", &[]),
    played_as("52-executor-updates-after-terminal", Recording::without_afterlife),
    Row { name: "31-operator-endpoints", how: How::PlayedByOperators { except: ENDPOINTS } },
    played_but(
        "32-operator-subscribe",
        &[("sched-1 task t2", "what is told in the millisecond in which the stream is closed")],
    ),
    Row {
        name: "33-sandbox-files",
        how: How::PlayedOfFiles {
            except: &[
                ("18", "a path that leads out is told as it was asked for"),
                ("39", "roots are folders of many sandboxes here"),
            ],
        },
    },
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
    not("42-operator-protobuf", "the operator's API is built in JSON alone"),
    played("43-filters-over-failover"),
    not(
        "47-resources-and-domains",
        "static reservations, sets as resources, and what of fault domains hides offers are not built",
    ),
    played("48-heartbeat-silence"),
    played("49-health-check-odds"),
    played("51-docker-kill-repeated"),
    Row {
        name: "52-executor-updates-after-terminal",
        how: How::PlayedByExecutors {
            except: &[
                ("told of a task that is not there", AFTER_THE_END),
                ("acknowledged too often", AFTER_THE_END),
            ],
        },
    },
    played("53-command-kill-shorter-grace"),
    played("54-command-kill-http-executor"),
    played("56-default-timing"),
    over_http("57-compressed-answers", &[("2", GZIP), ("3", VERSION), ("4", GZIP), ("5", OPERATORS)]),
];
