use std::time::{Duration, Instant};

use cooperator_models::testing::{byte_tokenizer, random_weights, tiny_config};

use super::*;

fn engine(concurrency: usize, queue: usize) -> Engine {
    let config = cooperator_models::config::LlamaConfig {
        max_position_embeddings: 100_000,
        eos_token_ids: vec![],
        ..tiny_config(259)
    };
    let model = InferModel::new(&config, &random_weights(&config, 5).unwrap(), None).unwrap();
    let tokenizer = Tokenizer::from_json(byte_tokenizer().to_string().as_bytes()).unwrap();
    Engine::start(model, Arc::new(tokenizer), concurrency, queue).unwrap()
}

fn request(prompt: &[u32], max_tokens: u32) -> Request {
    Request {
        prompt: prompt.to_vec(),
        max_tokens,
        sampling: SamplingOptions { temperature: 0.0, top_p: 1.0, seed: 1 },
        stops: vec![],
    }
}

fn all(mut events: mpsc::Receiver<Event>) -> Vec<Event> {
    let mut seen = Vec::new();
    while let Some(event) = events.blocking_recv() {
        seen.push(event);
    }
    seen
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn requests_decoded_together_say_what_each_says_alone() {
    let engine = engine(3, 3);
    let prompts: [Vec<u32>; 3] = [vec![5], (3..60).collect(), (3..200).collect()];
    let alone: Vec<Vec<Event>> =
        prompts.iter().map(|prompt| all(engine.submit(request(prompt, 300)).unwrap())).collect();
    let receivers: Vec<_> =
        prompts.iter().map(|prompt| engine.submit(request(prompt, 300)).unwrap()).collect();
    let together: Vec<Vec<Event>> = receivers.into_iter().map(all).collect();
    assert_eq!(together, alone);
    assert_eq!(together[0].last(), Some(&Event::Done { reason: FinishReason::Length, tokens: 300 }));
    assert!(engine.figures().largest_batch.load(Ordering::Relaxed) >= 2);
}

#[test]
fn a_client_that_leaves_frees_its_place_at_the_next_step() {
    let engine = engine(1, 0);
    let mut events = engine.submit(request(&[5], 90_000)).unwrap();
    assert!(matches!(events.blocking_recv(), Some(Event::Text(_))));
    assert!(matches!(engine.submit(request(&[5], 1)), Err(Refused::Full)));
    drop(events);
    eventually("the place is free", || engine.in_flight() == 0);
    assert_eq!(engine.figures().abandoned.load(Ordering::Relaxed), 1);
    let after = all(engine.submit(request(&[5], 1)).unwrap());
    assert_eq!(after.last(), Some(&Event::Done { reason: FinishReason::Length, tokens: 1 }));
}

#[test]
fn places_are_those_worked_on_and_those_waiting() {
    let engine = engine(1, 2);
    let taken: Vec<_> = (0..3).map(|_| engine.submit(request(&[5], 90_000)).unwrap()).collect();
    assert_eq!(engine.in_flight(), 3);
    assert!(matches!(engine.submit(request(&[5], 1)), Err(Refused::Full)));
    drop(taken);
    eventually("all places are free", || engine.in_flight() == 0);
}

#[test]
fn a_request_that_the_model_cannot_read_fails_alone() {
    let engine = engine(2, 2);
    let good = engine.submit(request(&[5], 50)).unwrap();
    let bad = engine.submit(request(&[5000], 50)).unwrap();
    assert_eq!(all(bad), [Event::Failed]);
    assert_eq!(all(good).last(), Some(&Event::Done { reason: FinishReason::Length, tokens: 50 }));
    assert!(engine.is_alive());
}
