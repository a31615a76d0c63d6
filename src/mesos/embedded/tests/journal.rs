//! A disk that refuses the journal of an agent.

use super::*;
use crate::mesos::wire::AgentData;

impl Framework {
    /// What the machine says of itself next.
    async fn word_of_the_machine(&mut self) -> AgentData {
        loop {
            if let Some(message) = self.next().await.unwrap().message {
                return AgentData::decode(&message.data).unwrap();
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_cannot_write_its_journal_starts_nothing_and_says_so_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Medium::Folder(folder.path().to_owned());
    let mut world = World { disk, ..World::new(Machine::reliable()) };
    let server = world.start().await;
    let mut framework = Framework::subscribe(&server, None).await;
    let offers = framework.offers().await;
    let (journal, aside) = (folder.path().join("journal"), folder.path().join("aside"));
    std::fs::rename(&journal, &aside).unwrap();
    framework.accept(&offers, vec![task("t", &offers[0], "cpus:1;mem:100")]).await;
    let trouble = framework.word_of_the_machine().await.journal_trouble.unwrap();
    assert!(trouble.contains(&journal.display().to_string()), "{trouble}");
    assert!(world.machine.alive().is_empty());

    std::fs::rename(&aside, &journal).unwrap();
    assert_eq!(framework.word_of_the_machine().await.journal_trouble, None);
    assert_eq!(framework.status().await.task_id, TaskId::new("t"));
}
