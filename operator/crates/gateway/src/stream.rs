//! Relays a stream event by event, unchanged but for the usage that was not asked for, and holds its end back until
//! the row is on disk.

use std::convert::Infallible;

use bytes::{Bytes, BytesMut};
use cooperator_contract::usage::UsageStatus;
use futures::FutureExt as _;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

use crate::call::Body;
use crate::error::ApiError;
use crate::meter::{Counted, Event, StreamMeter, event_length};
use crate::ticket::Ticket;

/// Pieces between the server and the caller: few, so that what was handed over was about sent.
const AHEAD: usize = 8;
/// Bytes of a piece after which no more is looked for.
const MOST_PIECE: usize = 16 * 1024;
/// Longest event.
const MOST_EVENT: usize = 1024 * 1024;

/// How a stream ended.
enum End {
    /// By `[DONE]`, which is still to be sent, or without it after a proper last event.
    Whole(Option<Bytes>),
    /// The caller has left, or does not read.
    Left,
    /// The server, or the gateway's own end. With what the caller is told: never the server's own words, which may
    /// hold anything.
    Failed(ApiError),
}

struct Relay {
    server: Incoming,
    caller: mpsc::Sender<Bytes>,
    buffer: BytesMut,
    /// How the server's answer ends, once that was seen: told only once, and what came before goes first.
    end: Option<Option<hyper::Result<Frame<Bytes>>>>,
    meter: StreamMeter,
    /// Events with content handed over.
    sent: u64,
    wants_usage: bool,
}

/// Starts to relay; the work is tracked by the gateway and outlasts the caller.
pub fn relay(ticket: Ticket, server: Incoming, wants_usage: bool) -> Body {
    let (caller, pieces) = mpsc::channel(AHEAD);
    let relay = Relay {
        server,
        caller,
        buffer: BytesMut::new(),
        end: None,
        meter: StreamMeter::default(),
        sent: 0,
        wants_usage,
    };
    let tracker = ticket.gateway().tracker.clone();
    tracker.spawn(relay.run(ticket));
    let frames = ReceiverStream::new(pieces).map(|piece| Ok::<_, Infallible>(Frame::data(piece)));
    StreamBody::new(frames).boxed_unsync()
}

impl Relay {
    async fn run(mut self, ticket: Ticket) {
        let end = self.pump(&ticket).await;
        let Self { server, caller, meter, sent, .. } = self;
        // A server whose caller has left must not go on working.
        drop(server);
        let stall = ticket.gateway().bounds.stall;
        let of_server = Counted { output: meter.output().or(Some(sent)), ..meter.counted };
        let (status, counted) = match &end {
            End::Whole(_) => (UsageStatus::Completed, of_server),
            End::Left => (UsageStatus::Disconnected, Counted { output: Some(sent), ..of_server }),
            End::Failed(_) => (UsageStatus::Failed, Counted::default()),
        };
        let written = ticket.finish(status, counted).await;
        let last = match (end, written) {
            (End::Whole(done), Ok(())) => done,
            (End::Whole(_), Err(_)) => Some(event(&ApiError::Unavailable("its usage log cannot be written"))),
            (End::Failed(error), _) => Some(event(&error)),
            (End::Left, _) => None,
        };
        if let Some(last) = last {
            // A caller that leaves now, or does not read, has had all that is billed.
            let _ = tokio::time::timeout(stall, caller.send(last)).await;
        }
    }

    async fn pump(&mut self, ticket: &Ticket) -> End {
        let (patience, cut) = (ticket.gateway().upstream.patience(), ticket.gateway().cut.clone());
        loop {
            if let Some(end) = self.hand_over(ticket).await {
                return end;
            }
            if self.buffer.len() > MOST_EVENT {
                return End::Failed(ApiError::Upstream);
            }
            let frame = match self.end.take() {
                Some(end) => Ok(end),
                None => tokio::select! {
                    // First: the gateway's own end closes the caller's connection too, and is not the caller's doing.
                    biased;
                    () = cut.cancelled() => return End::Failed(ApiError::Unavailable("it is shutting down")),
                    () = self.caller.closed() => return End::Left,
                    frame = tokio::time::timeout(patience, self.server.frame()) => frame,
                },
            };
            match frame {
                Ok(Some(Ok(frame))) => {
                    self.take(frame);
                    self.look_ahead().await;
                }
                Ok(None) if self.meter.finished => return End::Whole(None),
                Ok(None | Some(Err(_))) | Err(_) => return End::Failed(ApiError::Upstream),
            }
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        if let Ok(data) = frame.into_data() {
            self.buffer.extend_from_slice(&data);
        }
    }

    /// Takes what the server has sent by now, without waiting for more: a piece of many events costs the caller and us
    /// hardly more than a piece of one. The connection hands over a frame at a time, and only when it is let run.
    async fn look_ahead(&mut self) {
        while self.buffer.len() < MOST_PIECE {
            tokio::task::yield_now().await;
            match self.server.frame().now_or_never() {
                Some(Some(Ok(frame))) => self.take(frame),
                end_or_nothing => {
                    self.end = end_or_nothing;
                    return;
                }
            }
        }
    }

    /// Hands over every whole event there is, as one piece.
    async fn hand_over(&mut self, ticket: &Ticket) -> Option<End> {
        let mut piece = BytesMut::new();
        let mut contents = 0;
        let mut end = None;
        while let Some(length) = event_length(&self.buffer) {
            let event = self.buffer.split_to(length);
            match self.meter.event(&event) {
                Event::Done => {
                    end = Some(End::Whole(Some(event.freeze())));
                    break;
                }
                Event::Usage if !self.wants_usage => continue,
                Event::Content => contents += 1,
                Event::Failed => {
                    end = Some(End::Failed(ApiError::Upstream));
                    break;
                }
                Event::Usage | Event::Other => {}
            }
            // Events that lie one behind the other in the buffer are joined without a copy.
            piece.unsplit(event);
        }
        if piece.is_empty() {
            return end;
        }
        let stall = ticket.gateway().bounds.stall;
        match tokio::time::timeout(stall, self.caller.send(piece.freeze())).await {
            Ok(Ok(())) => self.sent += contents,
            Ok(Err(_)) | Err(_) => return Some(End::Left),
        }
        end
    }
}

/// An error in the middle of a stream.
fn event(error: &ApiError) -> Bytes {
    [b"data: ", &error.body()[..], b"\n\n"].concat().into()
}
