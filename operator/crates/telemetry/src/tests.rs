use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;

use super::*;

type Bodies = Arc<Mutex<Vec<u8>>>;

async fn receiver() -> (String, Bodies) {
    let bodies = Bodies::default();
    let take = |State(bodies): State<Bodies>, body: Bytes| async move {
        bodies.lock().unwrap().extend_from_slice(&body);
    };
    let router = Router::new().route("/v1/traces", post(take)).with_state(bodies.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (format!("http://{address}"), bodies)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn spans_reach_the_receiver_in_the_trace_they_were_given() {
    install_crypto();
    let (endpoint, bodies) = receiver().await;
    let (subscriber, guard) = subscriber("cooperator-test", &Options::default(), Some(&endpoint)).unwrap();
    let trace = [0x0a; 16];
    let given = "00-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-0b0b0b0b0b0b0b0b-01";
    let seen = tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("train a step");
        set_parent(&span, given);
        span.in_scope(current_traceparent)
    });
    let seen = seen.unwrap();
    assert!(seen.starts_with("00-0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a-") && seen != given, "{seen}");
    tokio::task::spawn_blocking(move || drop(guard)).await.unwrap();
    let sent = bodies.lock().unwrap().clone();
    assert!(
        contains(&sent, &trace) && contains(&sent, b"train a step") && contains(&sent, b"cooperator-test")
    );
}

#[test]
fn without_an_exporter_there_is_no_trace_context() {
    let (subscriber, _guard) = subscriber("cooperator-test", &Options::default(), None).unwrap();
    let seen = tracing::subscriber::with_default(subscriber, || {
        let span = tracing::info_span!("quiet");
        set_parent(&span, "no trace context");
        span.in_scope(current_traceparent)
    });
    assert_eq!(seen, None);
}

#[test]
fn metrics_have_our_prefix() {
    let metrics = metrics::Metrics::new();
    let counter: Counter =
        metrics.register(metrics::names::PROGRESS_POSTS, "Progress posts", Counter::default());
    counter.inc();
    assert!(metrics.render().contains("cooperator_progress_posts_total 1"), "{}", metrics.render());
}
