//! The two calls that a caller makes for a claim: [`launch()`], which rents, and [`step()`], which does all the rest.

use std::time::Duration;

use cooperator_core::money::Amount;
use cooperator_core::time::{Clock, Timestamp};
use cooperator_providers::{
    Deleted, Driver, Error, Instance, InstanceId, InstanceName, Order, Payload, State,
};

use crate::blocks::Target;
use crate::decide::{Answer, FRESH, Limits, Question, Seen, Step, View, Wish, decide};
use crate::machine::Machine;
use crate::news::{Advance, News};
use crate::record::{Permit, Reason, Record};
use crate::times::after;

/// Questions that a step asks at most.
const MOST_QUESTIONS: usize = 8;
/// Until the next step where something was changed: at once, once it is persisted.
const NOW: Duration = Duration::ZERO;
/// After a question that was not answered.
const UNANSWERED: Duration = Duration::from_secs(5);

/// Rents what `record` intends: the one call that does. `record` has been persisted since [`Record::begin`] gave the permit.
/// `driver` is that of the launch's Provider. A permit that is not of this record, or is older than [`FRESH`], rents
/// nothing: the launch is closed as never made.
pub async fn launch(
    permit: Permit,
    record: &Record,
    name: &InstanceName,
    payload: Payload,
    driver: &dyn Driver,
    clock: &dyn Clock,
) -> Advance {
    let (known, mut record) = (record, record.clone());
    let now = clock.now();
    let mut news = Vec::new();
    let of_permit = |number, intended_at| permit.number == number && permit.intended_at == intended_at;
    let current =
        record.current_mut().filter(|launch| launch.is_doubtful() && launch.doubtful_since.is_none());
    let Some(current) = current.filter(|launch| of_permit(launch.number, launch.intended_at)) else {
        return Advance { record, changed: false, again: Some(NOW), news };
    };
    if after(permit.intended_at, FRESH) < now {
        current.end(Reason::NeverMade, "it was held up for too long to be asked for");
        current.close(now);
        news.push(News::NotMade { reason: Reason::NeverMade, error: None });
        return Advance { record, changed: true, again: None, news };
    }
    let order = Order {
        name: name.clone(),
        offer: current.offer.clone(),
        disk_gib: current.disk_gib,
        bid: current.bid,
        payload,
    };
    match driver.create(&order).await {
        Ok(older) if known.machine(&current.provider, &older.id).is_some() => {
            let provider = current.provider.clone();
            return answered_with_older(record, &provider, &older, clock.now());
        }
        Ok(instance) => {
            let mut machine = Machine::new(&instance, now, clock.now());
            news.push(News::Made { instance: instance.id.clone() });
            if instance.state == State::Stopped {
                // It never ran.
                machine.stopped_at = Some(machine.from());
                current.end(Reason::BidRefused, &instance.said);
                news.push(News::Ending { instance: instance.id.clone(), reason: Reason::BidRefused });
                news.push(News::Block { target: Target::of(&order.offer), reason: Reason::BidRefused });
            }
            current.machine = Some(machine);
        }
        Err(error) if error.may_have_happened() => {
            current.doubtful_since = Some(clock.now());
            news.push(News::Doubtful { error });
        }
        Err(error) => {
            let reason = reason_of(&error);
            current.end(reason, &error.to_string());
            current.close(clock.now());
            if matches!(reason, Reason::NoCapacity | Reason::Refused) {
                news.push(News::Block { target: Target::Offer(order.offer.id.clone()), reason });
            }
            news.push(News::NotMade { reason, error: Some(error) });
        }
    }
    let again = record.open().map(|_| NOW).or_else(|| news.iter().find_map(News::turn));
    Advance { record, changed: true, again, news }
}

/// A vendor whose names are unique has answered with the machine of an earlier launch: that one lives, whatever was said of
/// it, and no other was made.
fn answered_with_older(mut record: Record, provider: &str, older: &Instance, now: Timestamp) -> Advance {
    if let Some(launch) = record.current_mut() {
        launch.end(Reason::NeverMade, &format!("the vendor still has {} of an earlier launch", older.id));
        launch.close(now);
    }
    // False: it was known to live.
    let _ = record.found(provider, older, now);
    let news = vec![News::NotMade { reason: Reason::NeverMade, error: None }];
    Advance { record, changed: true, again: Some(NOW), news }
}

/// Whether it tells something of where the machine was: the next one there would end so too.
fn is_of_its_host(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LaunchTimeout
            | Reason::Failed
            | Reason::PreflightFailed
            | Reason::RegistrationTimeout
            | Reason::Preempted
    )
}

/// Why nothing was made.
fn reason_of(error: &Error) -> Reason {
    match error {
        Error::NoCapacity { .. } => Reason::NoCapacity,
        Error::AccountLimit { .. } => Reason::AccountLimit,
        Error::Refused { .. } | Error::Unauthorized { .. } | Error::HostKey { .. } => Reason::Refused,
        Error::Throttled { .. }
        | Error::Unavailable { .. }
        | Error::Ambiguous { .. }
        | Error::Malformed { .. } => Reason::Unanswered,
    }
}

/// Goes on with the machines of `record` that are at `provider`, whose driver is given. It never rents, and makes at most
/// one call that changes something: the deletion of a machine whose end stands in `record`.
pub async fn step(
    record: &Record,
    provider: &str,
    name: &InstanceName,
    wish: &Wish,
    limits: &Limits,
    driver: &dyn Driver,
    clock: &dyn Clock,
) -> Advance {
    let now = clock.now();
    let (settles, accounts) = (driver.settles_after(), driver.keeps_account());
    let view = View { record, provider, name, settles, accounts, limits, wish, now };
    let mut seen = Seen::default();
    let mut act = Act {
        record: record.clone(),
        provider,
        now,
        changed: false,
        again: Some(UNANSWERED),
        news: Vec::new(),
    };
    for _ in 0..MOST_QUESTIONS {
        match decide(&view, &seen) {
            Step::Look(question) => look(driver, name, question, &mut seen, &mut act.news).await,
            Step::Delete(id) => {
                let asked = clock.now();
                let answer = driver.delete(&id).await;
                act.deleted(&id, answer, asked, clock.now());
                break;
            }
            step => {
                act.apply(step);
                break;
            }
        }
    }
    Advance { record: act.record, changed: act.changed, again: act.again, news: act.news }
}

/// Asks, and takes down what came.
async fn look(
    driver: &dyn Driver,
    name: &InstanceName,
    question: Question,
    seen: &mut Seen,
    news: &mut Vec<News>,
) {
    match question {
        Question::One(id) => {
            let answer = answer(driver.get(&id).await, news);
            seen.ones.push((id, answer));
        }
        Question::All => seen.all = answer(driver.list(name.tenant()).await, news),
        Question::Charge(id) => seen.charge = answer(driver.charged(&id).await, news),
    }
}

fn answer<T>(result: Result<T, Error>, news: &mut Vec<News>) -> Answer<T> {
    match result {
        Ok(got) => Answer::Got(got),
        Err(error) => {
            let answer = match &error {
                Error::Throttled { after, .. } => Answer::Busy(*after),
                _ => Answer::Failed(UNANSWERED),
            };
            news.push(News::Unanswered { error });
            answer
        }
    }
}

/// A record while a step is applied to it.
struct Act<'a> {
    record: Record,
    provider: &'a str,
    now: Timestamp,
    changed: bool,
    again: Option<Duration>,
    news: Vec<News>,
}

impl Act<'_> {
    fn apply(&mut self, step: Step) {
        self.again = Some(NOW);
        self.changed = true;
        match step {
            Step::Idle => self.rest(None),
            Step::Wait(wait) => self.rest(Some(wait)),
            Step::Look(_) | Step::Delete(_) => self.rest(Some(UNANSWERED)),
            Step::Adopt(kept, spares) => self.adopt(&kept, &spares),
            Step::Missed => {
                let now = self.now;
                if let Some(launch) = self.record.current_mut() {
                    launch.missed_at = Some(now);
                }
            }
            Step::NeverMade => self.never_made(),
            Step::Note(instance) => self.note(&instance),
            Step::Lost => {
                let now = self.now;
                self.on_kept(|machine| machine.lost_at = Some(now));
            }
            Step::End(reason, message, last) => self.end(reason, &message, last.as_ref()),
            Step::Mark(id) => {
                let now = self.now;
                self.record.change(self.provider, &id, now, |machine| machine.mark(now));
            }
            Step::Sure(id, done) => {
                self.record.change(self.provider, &id, self.now, |machine| machine.note_unsure(done));
            }
            Step::Double(others) => self.double(&others),
            Step::Refute(id) => {
                self.record.change(self.provider, &id, self.now, Machine::refute);
                self.news.push(News::Revived { instance: id });
            }
            Step::Confirm(id) => self.confirm(id),
            Step::Account(id, charged) => self.account(id, charged),
        }
    }

    /// Nothing was changed.
    fn rest(&mut self, again: Option<Duration>) {
        self.changed = false;
        self.again = again;
    }

    fn on_kept(&mut self, change: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.record.current_mut().and_then(|launch| launch.machine.as_mut()) {
            change(machine);
        }
    }

    fn adopt(&mut self, kept: &Instance, spares: &[Instance]) {
        let now = self.now;
        let Some(launch) = self.record.current_mut() else { return };
        launch.machine = Some(Machine::new(kept, launch.intended_at, now));
        launch.spares.extend(spares.iter().map(|spare| Machine::new(spare, launch.intended_at, now)));
        self.news.push(News::Adopted { instance: kept.id.clone() });
        self.news.extend(spares.iter().map(|spare| News::Double { instance: spare.id.clone() }));
        if kept.state == State::Running {
            self.news.push(News::Running { instance: kept.id.clone() });
        }
    }

    fn never_made(&mut self) {
        let now = self.now;
        let Some(launch) = self.record.current_mut() else { return };
        launch.end(Reason::NeverMade, "the vendor's answer was lost, and its list lacks the machine");
        launch.close(now);
        self.news.push(News::NotMade { reason: Reason::NeverMade, error: None });
    }

    fn note(&mut self, instance: &Instance) {
        let now = self.now;
        let mut first = false;
        self.on_kept(|machine| {
            first = machine.running_at.is_none() && instance.state == State::Running;
            machine.note(instance, now);
        });
        if first {
            self.news.push(News::Running { instance: instance.id.clone() });
        }
    }

    fn end(&mut self, reason: Reason, message: &str, last: Option<&Instance>) {
        let now = self.now;
        let Some(launch) = self.record.current_mut() else { return };
        launch.end(reason, message);
        let target = Target::of(&launch.offer);
        let Some(machine) = launch.machine.as_mut() else { return };
        if let Some(instance) = last {
            machine.note(instance, now);
        }
        self.news.push(News::Ending { instance: machine.instance.clone(), reason });
        if is_of_its_host(reason) {
            self.news.push(News::Block { target, reason });
        }
    }

    fn double(&mut self, others: &[Instance]) {
        for other in others {
            if self.record.add_spare(self.provider, other, self.now) {
                self.news.push(News::Double { instance: other.id.clone() });
            }
        }
    }

    fn deleted(&mut self, id: &InstanceId, answer: Result<Deleted, Error>, asked: Timestamp, now: Timestamp) {
        if let Err(Error::Throttled { after: wait, .. }) = &answer {
            self.rest(Some(*wait));
            let before = self.record.clone();
            self.record.change(self.provider, id, now, |machine| machine.note_turn(after(now, *wait)));
            self.changed = self.record != before;
            return;
        }
        let mut times = 0;
        self.record.change(self.provider, id, now, |machine| {
            machine.note_delete(answer.as_ref().copied(), asked, now);
            times = machine.deletes;
        });
        self.changed = true;
        self.again = Some(NOW);
        if !matches!(answer, Ok(Deleted::Gone { .. })) {
            self.news.push(News::Lingers { instance: id.clone(), asked: times, error: answer.err() });
        }
    }

    /// What a machine comes to by its terms, and what the least does that is paid for. Amounts that no number holds are left
    /// out of the news; the record's own sums tell of them.
    fn computed(&self, id: &InstanceId) -> Option<(Amount, Amount)> {
        let (launch, machine) = self.record.machine(self.provider, id)?;
        Some((launch.computed(machine, self.now).ok()?, launch.unit().ok()?))
    }

    fn confirm(&mut self, id: InstanceId) {
        let now = self.now;
        self.record.change(self.provider, &id, now, |machine| machine.confirmed_at = Some(now));
        if let Some((amount, _)) = self.computed(&id) {
            self.news.push(News::Ended { instance: id, amount });
        }
    }

    fn account(&mut self, id: InstanceId, charged: Option<Amount>) {
        let now = self.now;
        let computed = self.computed(&id);
        self.record.change(self.provider, &id, now, |machine| {
            machine.charged = charged;
            machine.accounted_at = Some(now);
        });
        if let (Some((computed, unit)), Some(charged)) = (computed, charged)
            && computed != charged
        {
            self.news.push(News::Drift { instance: id.clone(), computed, charged, unit });
        }
        if let Some(amount) = charged.or(computed.map(|(amount, _)| amount)) {
            self.news.push(News::Accounted { instance: id, amount });
        }
    }
}
