//! The Mesos v1 APIs: wire types, RecordIO, the session and the embedded master.
