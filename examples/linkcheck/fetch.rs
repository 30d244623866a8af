//! Links to other sites: each address is fetched once, many at a time, and no more than so many from one host.
//!
//! One worker drives all fetches on tokio. What they share, the client and the hosts, is the processor's own: it needs no
//! lock, for all of it stays on the worker's thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::error::Error;
use std::rc::Rc;
use std::time::Duration;

use parallel_workers::{
    Async, AsyncProcessor, Context, Failure, ProcessorService, PromiseOf, Share,
};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::external::{Dead, MOST_REDIRECTS, Terms, Unreachable};

/// Addresses at a time, over all hosts.
const CONCURRENCY: usize = 1_000;

/// What an address comes to.
pub(crate) type Fetched = Result<(), Unreachable>;

/// Fetches addresses.
pub(crate) struct Fetcher {
    client: Client,
    terms: Terms,
    /// How many more may be fetched from each host.
    hosts: RefCell<HashMap<String, Rc<Semaphore>>>,
}

/// Which page has which link, and what becomes of its address.
type Outward = (Rc<str>, Box<str>, PromiseOf<Async<Fetcher>>);

/// Fetches that go on.
pub(crate) struct Fetching {
    service: ProcessorService<Async<Fetcher>>,
    /// All promises are held, so that each address is fetched once.
    links: Vec<Outward>,
    _runtime: Runtime,
}

impl Fetching {
    pub(crate) fn start(terms: &Terms) -> Result<Self, Box<dyn Error>> {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build()?;
        let (terms, tokio) = (terms.clone(), runtime.handle().clone());
        let service = ProcessorService::builder()
            .name("fetcher")
            .workers(1)
            .share(Share::WhileHeld)
            .try_start(move || {
                let fetcher = Async::new(Fetcher::new(&terms)?).concurrency(CONCURRENCY);
                Ok::<_, reqwest::Error>(fetcher.on(tokio.clone()))
            })?;
        Ok(Self {
            service,
            links: Vec::new(),
            _runtime: runtime,
        })
    }

    pub(crate) fn queue(&mut self, page: &Rc<str>, href: Box<str>) {
        let address = href.split('#').next().unwrap_or_default();
        let promise = self.service.queue_request(address.to_owned());
        self.links.push((Rc::clone(page), href, promise));
    }

    /// Waits for all of them. Gives how many addresses there were, and the links that lead nowhere.
    pub(crate) fn finish(self) -> Result<(u64, Vec<Dead>), Failure> {
        let mut dead = Vec::new();
        for (page, link, promise) in &self.links {
            if let Err(why) = promise.wait()? {
                dead.push((Rc::clone(page), link.clone(), why.clone()));
            }
        }
        Ok((self.service.status().settled.outputs, dead))
    }
}

impl Fetcher {
    fn new(terms: &Terms) -> reqwest::Result<Self> {
        // Where an address sends on to, its host decides, so this goes there itself, at that host's turn.
        let client = Client::builder()
            .redirect(Policy::none())
            .user_agent("linkcheck (parallel-workers example)")
            .build()?;
        Ok(Self {
            client,
            terms: terms.clone(),
            hosts: RefCell::default(),
        })
    }

    fn host(&self, address: &Url) -> Rc<Semaphore> {
        let host = address.host_str().unwrap_or_default();
        let host = format!("{host}:{}", address.port_or_known_default().unwrap_or(0));
        let mut hosts = self.hosts.borrow_mut();
        let turns = hosts
            .entry(host)
            .or_insert_with(|| Rc::new(Semaphore::new(self.terms.per_host)));
        Rc::clone(turns)
    }

    /// Fetches an address, when it is its host's turn; gives where that sends on to.
    async fn fetch(&self, address: &Url, left: &mut Duration) -> Result<Option<Url>, Unreachable> {
        let host = self.host(address);
        let _turn = host.acquire().await.expect("nobody closes it");
        let begun = tokio::time::Instant::now();
        let answer = self.client.get(address.clone()).send();
        let answer = tokio::time::timeout(*left, answer).await;
        *left = left.saturating_sub(begun.elapsed());
        match answer {
            Err(_) => Err(Unreachable::NoAnswer(self.terms.timeout)),
            Ok(Err(_)) => Err(Unreachable::NotConnected),
            Ok(Ok(answer)) => next(address, &answer),
        }
    }
}

/// Where an answer sends on to.
fn next(address: &Url, answer: &Response) -> Result<Option<Url>, Unreachable> {
    let status = answer.status();
    if status.is_redirection() {
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|to| to.to_str().ok());
        if let Some(location) = location {
            let next = address.join(location);
            return next.map(Some).map_err(|_| Unreachable::NoAddress);
        }
    }
    if status.is_success() {
        return Ok(None);
    }
    Err(Unreachable::Status(status.as_u16()))
}

/// No output is a failure to the service (`is_failure`): it would not be shared, and the address be fetched again for the next
/// page that links to it.
impl AsyncProcessor for Fetcher {
    type Request = String;
    type Output = Fetched;

    async fn process(&self, address: &String, _: &Context<'_>) -> Fetched {
        let mut address = Url::parse(address).map_err(|_| Unreachable::NoAddress)?;
        let mut left = self.terms.timeout;
        for _ in 0..=MOST_REDIRECTS {
            match self.fetch(&address, &mut left).await? {
                Some(next) => address = next,
                None => return Ok(()),
            }
        }
        Err(Unreachable::TooManyRedirects)
    }
}
