//! The engine: one thread that owns the model and decodes all requests together, a token each a step.
//!
//! A request is admitted if one of `max_concurrency + max_queue` places is free, and holds its place until it is
//! done or its client has left; the next one is told that the queue is full. Between two steps at most one piece of
//! one prompt is read, so that a long prompt does not silence those already speaking. What a request says does not
//! depend on what else is going on (see [`cooperator_models::infer`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cooperator_models::infer::{Cache, InferModel, PREFILL};
use cooperator_models::sampling::{Sampler, SamplingOptions, StopScanner};
use cooperator_models::tokenizer::{TextStream, Tokenizer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request {
    /// Tokens of the prompt, at least one.
    pub prompt: Vec<u32>,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// How tokens are chosen.
    pub sampling: SamplingOptions,
    /// Strings that end the answer; not part of it.
    pub stops: Vec<String>,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model ended it, or a stop string came.
    Stop,
    /// The bound was reached.
    Length,
}

/// What a request hears, in order; [`Event::Done`] or [`Event::Failed`] is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More of the answer.
    Text(String),
    /// The answer is whole.
    Done {
        /// Why.
        reason: FinishReason,
        /// Tokens generated, the ending token not counted.
        tokens: u32,
    },
    /// A fault of ours.
    Failed,
}

/// A request that was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// All places are taken.
    #[error("the queue is full")]
    Full,
    /// The engine has ended.
    #[error("the engine has ended")]
    Ended,
}

/// Figures of the engine, for metrics and tests.
#[derive(Debug, Default)]
pub struct Figures {
    /// Requests being worked on.
    pub active: AtomicUsize,
    /// Requests dropped because their client had left.
    pub abandoned: AtomicUsize,
    /// Most requests in one decoding step so far.
    pub largest_batch: AtomicUsize,
}

/// A request in the engine's hands; dropping it frees its place.
struct Job {
    request: Request,
    events: mpsc::Sender<Event>,
    _place: OwnedSemaphorePermit,
}

/// The way to the engine. Clones lead to the same one; it ends when the last clone is gone and all work is done.
#[derive(Clone, Debug)]
pub struct Engine {
    jobs: mpsc::Sender<Job>,
    places: Arc<Semaphore>,
    capacity: usize,
    figures: Arc<Figures>,
    alive: Arc<AtomicBool>,
}

impl Engine {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(
        model: InferModel,
        tokenizer: Arc<Tokenizer>,
        max_concurrency: usize,
        max_queue: usize,
    ) -> std::io::Result<Self> {
        let capacity = max_concurrency.max(1) + max_queue;
        let (jobs, receiver) = mpsc::channel(capacity);
        let figures = Arc::new(Figures::default());
        let alive = Arc::new(AtomicBool::new(true));
        let worker = Worker {
            model,
            tokenizer,
            jobs: receiver,
            concurrency: max_concurrency.max(1),
            active: Vec::new(),
            figures: Arc::clone(&figures),
        };
        let guard = Alive(Arc::clone(&alive));
        std::thread::Builder::new().name("engine".to_owned()).spawn(move || {
            let _guard = guard;
            worker.run();
        })?;
        Ok(Self { jobs, places: Arc::new(Semaphore::new(capacity)), capacity, figures, alive })
    }

    /// Admits a request, or says at once why not. Dropping the receiver abandons the request.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn submit(&self, request: Request) -> Result<mpsc::Receiver<Event>, Refused> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Refused::Full)?;
        // One event a token at most, and the end: the engine never waits for a slow reader.
        let (events, receiver) = mpsc::channel(request.max_tokens as usize + 3);
        self.jobs.try_send(Job { request, events, _place: place }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Refused::Full,
            mpsc::error::TrySendError::Closed(_) => Refused::Ended,
        })?;
        Ok(receiver)
    }

    /// Requests waiting or worked on.
    pub fn in_flight(&self) -> usize {
        self.capacity - self.places.available_permits()
    }

    /// Whether the thread is there.
    pub fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// Figures so far.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }
}

/// Says that the thread has ended, however it ended.
struct Alive(Arc<AtomicBool>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// One request being worked on.
struct Sequence {
    job: Job,
    cache: Cache,
    /// Tokens of the prompt already read.
    read: usize,
    /// The token to read next, once the prompt is read.
    next: Option<u32>,
    sampler: Sampler,
    text: TextStream,
    stops: StopScanner,
    generated: u32,
}

/// Whether a sequence goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Continues,
    Ended,
}

/// The thread's own state.
struct Worker {
    model: InferModel,
    tokenizer: Arc<Tokenizer>,
    jobs: mpsc::Receiver<Job>,
    concurrency: usize,
    active: Vec<Sequence>,
    figures: Arc<Figures>,
}

impl Worker {
    fn run(mut self) {
        while self.admit() {
            self.drop_abandoned();
            self.read_one_piece();
            self.decode();
            self.figures.active.store(self.active.len(), Ordering::Relaxed);
        }
    }

    /// Takes what waits, as far as there is room; sleeps while there is nothing to do. False at the end.
    fn admit(&mut self) -> bool {
        if self.active.is_empty() {
            match self.jobs.blocking_recv() {
                Some(job) => self.begin(job),
                None => return false,
            }
        }
        while self.active.len() < self.concurrency {
            match self.jobs.try_recv() {
                Ok(job) => self.begin(job),
                Err(_) => break,
            }
        }
        true
    }

    fn begin(&mut self, job: Job) {
        self.active.push(Sequence {
            cache: self.model.cache(),
            read: 0,
            next: None,
            sampler: Sampler::new(job.request.sampling),
            text: TextStream::new(),
            stops: StopScanner::new(job.request.stops.iter().cloned()),
            generated: 0,
            job,
        });
        self.figures.active.store(self.active.len(), Ordering::Relaxed);
    }

    fn drop_abandoned(&mut self) {
        let before = self.active.len();
        self.active.retain(|sequence| !sequence.job.events.is_closed());
        self.figures.abandoned.fetch_add(before - self.active.len(), Ordering::Relaxed);
    }

    /// The next piece of the first prompt that is not read yet.
    fn read_one_piece(&mut self) {
        let Some(index) = self.active.iter().position(|sequence| sequence.next.is_none()) else { return };
        let sequence = &mut self.active[index];
        let prompt = &sequence.job.request.prompt;
        let end = prompt.len().min(sequence.read + PREFILL);
        let piece = &prompt[sequence.read..end];
        let step = match self.model.prefill(&mut sequence.cache, piece) {
            Ok(logits) => {
                sequence.read = end;
                if end < prompt.len() {
                    return;
                }
                sequence.take(&self.model, &self.tokenizer, &logits)
            }
            Err(error) => {
                tracing::error!(%error, "a prompt could not be read");
                sequence.fail()
            }
        };
        if step == Step::Ended {
            self.active.remove(index);
        }
    }

    /// One token for every sequence whose prompt is read.
    fn decode(&mut self) {
        let mut batch: Vec<(&mut Cache, u32)> = self
            .active
            .iter_mut()
            .filter_map(|sequence| sequence.next.map(|token| (&mut sequence.cache, token)))
            .collect();
        if batch.is_empty() {
            return;
        }
        self.figures.largest_batch.fetch_max(batch.len(), Ordering::Relaxed);
        let logits = self.model.decode(&mut batch);
        if let Err(error) = &logits {
            tracing::error!(%error, "a step failed");
        }
        let logits = logits.ok();
        let width = self.model.config().vocab_size;
        let mut rows = logits.iter().flat_map(|logits| logits.chunks_exact(width));
        let (model, tokenizer) = (&self.model, &self.tokenizer);
        self.active.retain_mut(|sequence| {
            if sequence.next.is_none() {
                return true;
            }
            let step = match rows.next() {
                Some(logits) => sequence.take(model, tokenizer, logits),
                None => sequence.fail(),
            };
            step == Step::Continues
        });
    }
}

impl Sequence {
    /// Chooses a token, shows its text, and decides whether to go on.
    fn take(&mut self, model: &InferModel, tokenizer: &Tokenizer, logits: &[f32]) -> Step {
        let Some(token) = self.sampler.next(logits) else {
            tracing::error!("logits hold NaN");
            return self.fail();
        };
        if model.config().eos_token_ids.contains(&token) {
            return self.end(tokenizer, FinishReason::Stop);
        }
        self.generated += 1;
        let Ok(piece) = self.text.push(tokenizer, token) else { return self.fail() };
        let (shown, stopped) = self.stops.push(&piece);
        self.show(shown);
        if stopped {
            return self.done(FinishReason::Stop);
        }
        let full = self.cache.len() >= model.config().max_position_embeddings;
        if self.generated >= self.job.request.max_tokens || full {
            return self.end(tokenizer, FinishReason::Length);
        }
        self.next = Some(token);
        Step::Continues
    }

    /// Shows what was held back, then ends.
    fn end(&mut self, tokenizer: &Tokenizer, reason: FinishReason) -> Step {
        let Ok(rest) = self.text.finish(tokenizer) else { return self.fail() };
        let (shown, stopped) = self.stops.push(&rest);
        self.show(shown);
        if stopped {
            return self.done(FinishReason::Stop);
        }
        let held = self.stops.finish();
        self.show(held);
        self.done(reason)
    }

    fn show(&self, text: String) {
        if !text.is_empty() {
            self.send(Event::Text(text));
        }
    }

    fn done(&self, reason: FinishReason) -> Step {
        self.send(Event::Done { reason, tokens: self.generated });
        Step::Ended
    }

    fn fail(&self) -> Step {
        self.send(Event::Failed);
        Step::Ended
    }

    /// A closed channel is a client that left: the next step drops the sequence. It cannot be full by its size.
    fn send(&self, event: Event) {
        let _left = self.job.events.try_send(event);
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
mod tests;
