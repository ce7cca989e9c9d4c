//! Whether the other end still lives: a connection that nobody reset looks alive for as long as nothing is sent.

use h2::{Ping, PingPong};
use tokio::time::{sleep, timeout};

use crate::limits::Limits;

/// Returns once the other end has not answered a ping in time.
pub(crate) async fn silence(pings: Option<PingPong>, limits: Limits) {
    // There is one for whoever asks first, which is us.
    let Some(mut pings) = pings else { return };
    loop {
        sleep(limits.ping).await;
        match timeout(limits.patience, pings.ping(Ping::opaque())).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) | Err(_) => return,
        }
    }
}
