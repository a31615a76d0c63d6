//! What a mesos-dns makes of a master's `/state`, by its documented rules and its default settings: names, addresses, ports.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The records of a domain `mesos`, each name with what it leads to.
#[derive(Debug, Default)]
pub(crate) struct Records {
    pub(crate) addresses: BTreeMap<String, BTreeSet<String>>,
    /// Of services: the ports.
    pub(crate) ports: BTreeMap<String, BTreeSet<u64>>,
}

/// What it answers by this state.
pub(crate) fn records(state: &Value) -> Records {
    let mut records = Records::default();
    for framework in list(&state["frameworks"]) {
        let parts: Vec<String> = text(&framework["name"]).split('.').map(clean).collect();
        let domain = format!("{}.mesos", parts.join("."));
        for task in list(&framework["tasks"]).iter().filter(|task| task["state"] == "TASK_RUNNING") {
            add(&mut records, task, &domain, state);
        }
    }
    records
}

fn add(records: &mut Records, task: &Value, domain: &str, state: &Value) {
    let name = task["discovery"]["name"].as_str().unwrap_or_else(|| text(&task["name"]));
    // Once cleaned, and once as the discovery says it.
    for name in BTreeSet::from([clean(name), name.to_lowercase()]) {
        let addresses = records.addresses.entry(format!("{name}.{domain}")).or_default();
        addresses.extend(addresses_of(task, state));
        for port in list(&task["discovery"]["ports"]["ports"]) {
            let service = format!("_{name}._{}.{domain}", clean(text(&port["protocol"])));
            let number = port["number"].as_u64().unwrap();
            if let Some(port_name) = port["name"].as_str() {
                let service = format!("_{}.{service}", clean(port_name));
                records.ports.entry(service).or_default().insert(number);
            }
            records.ports.entry(service).or_default().insert(number);
        }
    }
}

/// `netinfo` of the newest RUNNING status, else the agent's.
fn addresses_of(task: &Value, state: &Value) -> Vec<String> {
    let statuses = list(&task["statuses"]);
    let running = statuses.iter().filter(|status| status["state"] == "TASK_RUNNING");
    let time = |status: &&Value| status["timestamp"].as_f64().unwrap_or_default();
    let newest = running.max_by(|a, b| time(a).total_cmp(&time(b)));
    let networks =
        newest.map(|status| list(&status["container_status"]["network_infos"])).unwrap_or_default();
    let told = networks.iter().flat_map(|network| list(&network["ip_addresses"]));
    let told: Vec<String> = told.filter_map(|it| Some(it["ip_address"].as_str()?.to_owned())).collect();
    if told.is_empty() { vec![address_of_agent(task, state)] } else { told }
}

/// As its pid tells it, `slave(1)@ADDRESS:PORT`.
pub(crate) fn address_of_agent(task: &Value, state: &Value) -> String {
    let agents = list(&state["slaves"]);
    let agent = agents.iter().find(|agent| agent["id"] == task["slave_id"]).expect("its agent is told of");
    let address = text(&agent["pid"]).split('@').nth(1).and_then(|it| it.split(':').next());
    address.expect("its pid has an address").to_owned()
}

/// One label of a name in DNS.
fn clean(name: &str) -> String {
    let letters = name.chars().filter_map(|letter| match letter {
        'A'..='Z' => Some(letter.to_ascii_lowercase()),
        'a'..='z' | '0'..='9' | '-' => Some(letter),
        '.' | '_' => Some('-'),
        _ => None,
    });
    let label: String = letters.take(63).collect();
    label.trim_matches('-').to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn names_are_made_as_mesos_dns_makes_them() {
    for (name, expected) in [("web.prod", "web-prod"), ("My App_x", "myapp-x"), ("pod_123$abc", "pod-123abc")]
    {
        assert_eq!(clean(name), expected);
    }
}
