//! House rules as tests: the arrows between the rooms, the generated files, the recorded conversations.
//! No service is started here.

mod arrows;
mod headers;
