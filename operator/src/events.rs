//! Where events go.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

/// Events that are remembered at most. [`Recorder`] remembers each for six minutes, 2 KB an event, so that one that
/// comes again is counted and not written anew: with thousands of objects that is most of the operator's memory, while
/// what repeats, a step that is tried again and again, does so among few others.
const REMEMBERED: usize = 256;

/// Publishes events; one that comes again soon is counted.
#[derive(Clone)]
pub struct Events {
    client: Client,
    reporter: Reporter,
    recent: Arc<Mutex<Recent>>,
}

struct Recent {
    recorder: Recorder,
    published: usize,
}

impl Events {
    /// Events that `reporter` tells.
    pub fn new(client: Client, reporter: Reporter) -> Self {
        let recorder = Recorder::new(client.clone(), reporter.clone());
        Self { client, reporter, recent: Arc::new(Mutex::new(Recent { recorder, published: 0 })) }
    }

    /// Publishes one.
    ///
    /// # Errors
    /// When the API server refuses it or does not answer.
    pub async fn publish(&self, event: &Event, regarding: &ObjectReference) -> Result<(), kube::Error> {
        self.recorder().publish(event, regarding).await
    }

    fn recorder(&self) -> Recorder {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.published == REMEMBERED {
            let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
            *recent = Recent { recorder, published: 0 };
        }
        recent.published += 1;
        recent.recorder.clone()
    }
}

#[cfg(test)]
mod tests {
    use kube::Resource as _;
    use kube::runtime::events::EventType;

    use super::*;
    use crate::testing::{Cluster, HOME};

    #[tokio::test]
    async fn an_event_that_repeats_is_counted_unless_many_others_came_between() {
        let cluster = Cluster::new().await;
        let home: cooperator_api::collective::Collective = cluster.read("collectives", HOME);
        let tell = async |reason: String| {
            let action = "Reconcile".to_owned();
            let event = Event { type_: EventType::Warning, reason, note: None, action, secondary: None };
            cluster.pipeline.events.publish(&event, &home.object_ref(&())).await.unwrap();
            cluster.events().pop().unwrap()
        };
        assert_eq!(tell("StoreDown".into()).await, "Warning StoreDown");
        assert_eq!(tell("StoreDown".into()).await, "Warning StoreDown again");
        for other in 0..REMEMBERED {
            tell(format!("Other{other}")).await;
        }
        assert_eq!(tell("StoreDown".into()).await, "Warning StoreDown");
    }
}
