//! A network namespace of this machine, tied to it by one line that can be cut. Removed when it is dropped.

#![allow(clippy::unwrap_used, reason = "a harness that cannot start ends the test")]

use std::process::{Command, Stdio};

/// A machine of its own, as far as the network goes.
pub(crate) struct Namespace {
    name: String,
    /// This machine's end of the line.
    line: String,
    /// This machine's address on the line.
    pub(crate) gateway: String,
}

impl Namespace {
    pub(crate) fn new() -> Namespace {
        for number in 1..250 {
            let (name, line) = (format!("tnrtest-{number}"), format!("tnrline{number}"));
            if !ip(&["netns", "add", &name]) {
                continue;
            }
            let gateway = format!("10.217.{number}.1");
            let namespace = Namespace { name, line, gateway };
            namespace.connect(number);
            return namespace;
        }
        panic!("no network namespace can be made: the test needs root, and `ip` of iproute2");
    }

    fn connect(&self, number: u32) {
        let (here, there) = (format!("{}/30", self.gateway), format!("10.217.{number}.2/30"));
        let far = "line0";
        let steps: [&[&str]; 6] = [
            &["link", "add", &self.line, "type", "veth", "peer", "name", far, "netns", &self.name],
            &["address", "add", &here, "dev", &self.line],
            &["link", "set", &self.line, "up"],
            &["-netns", &self.name, "address", "add", &there, "dev", far],
            &["-netns", &self.name, "link", "set", far, "up"],
            &["-netns", &self.name, "link", "set", "lo", "up"],
        ];
        for step in steps {
            assert!(ip(step), "ip {step:?}");
        }
    }

    /// What a command begins with that runs there.
    pub(crate) fn inside(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(ToOwned::to_owned).to_vec()
    }

    /// Nothing passes any more, and nobody is told.
    pub(crate) fn cut(&self) {
        assert!(ip(&["link", "set", &self.line, "down"]));
    }

    pub(crate) fn mend(&self) {
        assert!(ip(&["link", "set", &self.line, "up"]));
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "delete", &self.name]);
        ip(&["link", "delete", &self.line]);
    }
}

fn ip(arguments: &[&str]) -> bool {
    Command::new("ip").args(arguments).stderr(Stdio::null()).status().unwrap().success()
}
