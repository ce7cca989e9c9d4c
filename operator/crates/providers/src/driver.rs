//! The trait every vendor's driver has, and what may be asked of it.
//!
//! # The retry contract
//! A driver makes each call once, or again only where the vendor says that nothing happened; it never sleeps for longer
//! than the vendor's least interval between two calls, and no call takes longer than [`PATIENCE`].
//!
//! - [`Driver::create`] is **not** idempotent with most vendors. After an error with [`Error::may_have_happened`] the
//!   caller must look with [`Driver::list`] by the order's name until it can tell, and adopt or delete what it finds,
//!   before it creates again. Two machines of one name can exist: both are returned by `list`.
//! - [`Driver::delete`] is repeated until it returns [`Deleted::Gone`]; `Gone` is said only when the vendor confirmed it.
//! - [`Driver::list`] returns *all* machines of the tenant or an error. A page that is missing, empty where the count says
//!   otherwise, or of another form is an error, never "none". A machine made a moment ago may be absent all the same: most
//!   vendors' lists lag. Whoever concludes from absence waits for [`Driver::settles_after`] first.
//! - [`Driver::get`] returning `None` means that the vendor says the machine does not exist, with the same lag.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use async_trait::async_trait;
use cooperator_core::market::{Offer, Shape};
use cooperator_core::money::{Amount, PricePerHour};
use cooperator_core::time::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::name::{InstanceName, Tenant};

/// Longest that one call may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What a vendor calls a machine it has rented out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstanceId(pub String);

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Which offers are asked for: what the vendor can sort out by itself. Placement checks everything again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only of this shape.
    pub shape: Option<Shape>,
    /// At least so many GPUs; 0: machines without GPUs are looked for as well.
    pub gpus: u32,
    /// At least so much memory a GPU, in MiB.
    pub gpu_memory_mib: u64,
    /// Only these models, named as [`cooperator_core::market::Gpus::model_name`] does. Empty: any.
    pub gpu_models: Vec<String>,
    /// Disk that will be asked for, in GiB.
    pub disk_gib: u64,
    /// At most so much an hour.
    pub most: Option<PricePerHour>,
}

impl Query {
    /// Whether an offer is one of those asked for.
    pub fn takes(&self, offer: &Offer) -> bool {
        let model = |model: &String| self.gpu_models.is_empty() || self.gpu_models.contains(model);
        let gpus = match &offer.gpus {
            Some(gpus) => {
                gpus.count >= self.gpus && gpus.memory_mib >= self.gpu_memory_mib && model(&gpus.model)
            }
            None => self.gpus == 0 && self.gpu_memory_mib == 0 && self.gpu_models.is_empty(),
        };
        let hourly = || offer.terms.hourly_with(self.disk_gib).ok();
        gpus && self.shape.is_none_or(|shape| shape == offer.shape)
            && self.disk_gib <= offer.disk_gib
            && self.most.is_none_or(|most| hourly().is_some_and(|hourly| hourly <= most))
    }
}

/// What a machine is to run.
#[derive(Clone, PartialEq, Eq)]
pub enum Payload {
    /// A script for the first start ([`Shape::Machine`]), as cloud-init takes it.
    UserData(String),
    /// One container ([`Shape::Container`]).
    Container(Container),
}

impl fmt::Debug for Payload {
    /// Without what may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserData(text) => write!(f, "UserData({} bytes)", text.len()),
            Self::Container(container) => write!(f, "Container({})", container.image),
        }
    }
}

/// A container that a vendor is to run.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Container {
    /// Image reference.
    pub image: String,
    /// Arguments to the image's entrypoint.
    pub arguments: Vec<String>,
    /// Environment: names and values, sorted. May hold tokens.
    pub environment: Vec<(String, String)>,
}

/// An order for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The name it gets, by which it is found again.
    pub name: InstanceName,
    /// What is rented.
    pub offer: Offer,
    /// Disk asked for, in GiB.
    pub disk_gib: u64,
    /// Of a spot offer: what is bid for an hour.
    pub bid: Option<PricePerHour>,
    /// What it runs.
    pub payload: Payload,
}

/// Where a rented machine stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum State {
    /// It is being made or started.
    Pending,
    /// It runs.
    Running,
    /// It does not run and still costs (its disk, or all of it): outbid, stopped, exited.
    Stopped,
    /// The vendor takes, or took, it away against our will; it may still cost.
    Preempted,
    /// It is broken and may still cost.
    Failed,
    /// It is on its way out, as asked.
    Ending,
    /// The vendor lists it and says that it is over and costs nothing any more.
    Over,
}

/// A machine that a vendor has rented to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// The vendor's name for it.
    pub id: InstanceId,
    /// Our name for it.
    pub name: InstanceName,
    /// Where it stands.
    pub state: State,
    /// What the vendor says in its own words, for people: `loading`, `booting`.
    pub said: String,
    /// Where it can be reached, once known.
    pub address: Option<IpAddr>,
    /// From when on it is paid for, where the vendor tells.
    pub since: Option<Timestamp>,
    /// What the vendor says an hour costs, where it tells.
    pub hourly: Option<PricePerHour>,
}

/// What became of a machine that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// The vendor confirms that it is gone and costs nothing from `at` on; `None`: it told no time.
    Gone {
        /// When the vendor says it ended.
        at: Option<Timestamp>,
    },
    /// It is on its way out: ask again.
    Ending,
}

/// What a vendor has charged for a machine so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Charge {
    /// The machine.
    pub id: InstanceId,
    /// All of it: time, disk and traffic.
    pub amount: Amount,
    /// Whether it will not change any more.
    pub is_final: bool,
}

/// A vendor.
#[async_trait]
pub trait Driver: Send + Sync + fmt::Debug {
    /// What people call it: `Vast.ai`.
    fn vendor(&self) -> &'static str;

    /// How long after a successful create a list may still lack the machine.
    fn settles_after(&self) -> Duration;

    /// Longest script of a machine's first start that it takes, in bytes; none: it tells no bound that ours could reach.
    fn most_user_data(&self) -> Option<usize> {
        None
    }

    /// What is for rent now, in any order. An empty list is a market without offers.
    ///
    /// # Errors
    /// [`Error`]; nothing is changed by asking.
    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error>;

    /// Rents a machine. See the retry contract.
    ///
    /// # Errors
    /// [`Error`]. A vendor that refuses and all the same tells the id of something that now costs is answered with that
    /// instance in state [`State::Stopped`]: it must be deleted.
    async fn create(&self, order: &Order) -> Result<Instance, Error>;

    /// One machine. `None`: the vendor says there is none of this id.
    ///
    /// # Errors
    /// [`Error`]
    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error>;

    /// All machines of a tenant, and none of others'. See the retry contract.
    ///
    /// # Errors
    /// [`Error`], also when any part of the list is missing.
    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error>;

    /// Gives a machine back. See the retry contract.
    ///
    /// # Errors
    /// [`Error`]; that there is none is [`Deleted::Gone`].
    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error>;

    /// Whether it keeps an account by machine: then one on which it has nothing to say, long after its end, cost nothing.
    fn keeps_account(&self) -> bool {
        false
    }

    /// What the vendor has charged for a machine. `None`: it keeps no such account, or has nothing on this machine yet.
    ///
    /// # Errors
    /// [`Error`]
    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error>;

    /// The end of what a container has printed. `None`: the vendor keeps no log, or has none of this machine.
    ///
    /// # Errors
    /// [`Error`]; nothing is changed by asking.
    async fn logs(&self, _id: &InstanceId) -> Result<Option<String>, Error> {
        Ok(None)
    }
}

/// A driver that is shared.
#[async_trait]
impl<D: Driver + ?Sized> Driver for std::sync::Arc<D> {
    fn vendor(&self) -> &'static str {
        D::vendor(self)
    }

    fn settles_after(&self) -> Duration {
        D::settles_after(self)
    }

    fn keeps_account(&self) -> bool {
        D::keeps_account(self)
    }

    fn most_user_data(&self) -> Option<usize> {
        D::most_user_data(self)
    }

    async fn offers(&self, query: &Query) -> Result<Vec<Offer>, Error> {
        D::offers(self, query).await
    }

    async fn create(&self, order: &Order) -> Result<Instance, Error> {
        D::create(self, order).await
    }

    async fn get(&self, id: &InstanceId) -> Result<Option<Instance>, Error> {
        D::get(self, id).await
    }

    async fn list(&self, tenant: &Tenant) -> Result<Vec<Instance>, Error> {
        D::list(self, tenant).await
    }

    async fn delete(&self, id: &InstanceId) -> Result<Deleted, Error> {
        D::delete(self, id).await
    }

    async fn charged(&self, id: &InstanceId) -> Result<Option<Charge>, Error> {
        D::charged(self, id).await
    }

    async fn logs(&self, id: &InstanceId) -> Result<Option<String>, Error> {
        D::logs(self, id).await
    }
}
