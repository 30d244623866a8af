//! Async backends: on a worker's own thread, inside tokio, and as tasks of tokio and of smol.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{AsyncReadExt, AsyncWriteExt};
use libtest_mimic::Trial;
use parallel_workers::{Async, AsyncProcessor, Context, ProcessorService, ProcessorServiceBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Backend;
use crate::door::greeting;
use crate::suite;
use crate::work::{Answer, Work, answer, door_of};

/// How a socket is had.
pub(crate) trait Sockets: 'static {
    fn knock(door: u16, number: u64) -> impl Future<Output = ()> + Send;
}

pub(crate) struct Smol;

impl Sockets for Smol {
    async fn knock(door: u16, number: u64) {
        let mut stream = smol::net::TcpStream::connect(("127.0.0.1", door))
            .await
            .unwrap();
        AsyncWriteExt::write_all(&mut stream, &greeting(number))
            .await
            .unwrap();
        let _ = AsyncReadExt::read(&mut stream, &mut [0]).await;
    }
}

pub(crate) struct Tokio;

impl Sockets for Tokio {
    async fn knock(door: u16, number: u64) {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", door))
            .await
            .unwrap();
        stream.write_all(&greeting(number)).await.unwrap();
        let _ = stream.read(&mut [0]).await;
    }
}

/// What a processor keeps: something that only its own thread may touch, or something that others may.
pub(crate) trait Count: Default + 'static {
    fn add(&self);
    fn get(&self) -> u64;
}

impl Count for Cell<u64> {
    fn add(&self) {
        self.set(self.get() + 1);
    }

    fn get(&self) -> u64 {
        Cell::get(self)
    }
}

impl Count for AtomicU64 {
    fn add(&self) {
        self.fetch_add(1, Ordering::SeqCst);
    }

    fn get(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }
}

pub(crate) struct AsyncWorker<S, C> {
    done: C,
    sockets: PhantomData<fn() -> S>,
}

impl<S, C: Default> AsyncWorker<S, C> {
    fn new() -> Self {
        Self {
            done: C::default(),
            sockets: PhantomData,
        }
    }
}

impl<S: Sockets, C: Count> AsyncProcessor for AsyncWorker<S, C> {
    type Request = Work;
    type Output = Answer;

    async fn process(&self, work: &Work, context: &Context<'_>) -> Answer {
        if let Some((door, number)) = door_of(work) {
            S::knock(door, number).await;
        }
        if let Work::UntilUnwanted { .. } = work {
            context.cancelled().await;
        }
        self.done.add();
        answer(work, context)
    }

    fn is_failure(answer: &Answer) -> bool {
        answer.is_err()
    }
}

fn runtime() -> tokio::runtime::Handle {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| tokio::runtime::Runtime::new().unwrap());
    runtime.handle().clone()
}

macro_rules! backend {
    ($name:ident, $worker:ty, $at_a_time:expr, $make:expr) => {
        pub(crate) struct $name;

        impl Backend for $name {
            type Processor = Async<$worker>;
            const AT_A_TIME: usize = $at_a_time;

            fn start(
                builder: ProcessorServiceBuilder<Self::Processor>,
            ) -> ProcessorService<Self::Processor> {
                let make: fn(Self::Processor) -> Self::Processor = $make;
                builder
                    .start(move || make(Async::new(<$worker>::new()).concurrency($at_a_time)))
                    .unwrap()
            }

            fn done(processor: &mut Self::Processor) -> u64 {
                Count::get(&processor.processor().done)
            }
        }
    };
}

type OnItsThread = AsyncWorker<Smol, Cell<u64>>;
type InTokio = AsyncWorker<Tokio, Cell<u64>>;
type SpawnedInTokio = AsyncWorker<Tokio, AtomicU64>;
type SpawnedInSmol = AsyncWorker<Smol, AtomicU64>;

backend!(OneAtATime, OnItsThread, 1, |it| it);
backend!(OwnThread, OnItsThread, 3, |it| it);
backend!(OnTokio, InTokio, 3, |it| it.on(runtime()));
backend!(SpawnedByTokio, SpawnedInTokio, 3, |it| {
    it.spawned_by(|task| _ = runtime().spawn(task.run()))
});
backend!(SpawnedBySmol, SpawnedInSmol, 3, |it| {
    it.spawned_by(|task| smol::spawn(task.run()).detach())
});

/// The suite over all of them.
pub(crate) fn tests() -> Vec<Trial> {
    let mut tests = Vec::new();
    tests.extend(suite::over!(
        "asynchronous::one_at_a_time",
        crate::asynchronous::OneAtATime
    ));
    tests.extend(suite::over!(
        "asynchronous::own_thread",
        crate::asynchronous::OwnThread
    ));
    tests.extend(suite::over!(
        "asynchronous::on_tokio",
        crate::asynchronous::OnTokio
    ));
    tests.extend(suite::over!(
        "asynchronous::spawned_by_tokio",
        crate::asynchronous::SpawnedByTokio
    ));
    tests.extend(suite::over!(
        "asynchronous::spawned_by_smol",
        crate::asynchronous::SpawnedBySmol
    ));
    tests
}
