//! One worker used as a resource: told to do something and waited for, or sent something and asked later.
//!
//! `cargo run --example resource`
//!
//! ```text
//! execute: the account holds 100
//! sent 2 orders; polled: not yet, not yet
//! received: 130, then 80
//! awaited: 85
//! the last answer was 85, from account 1 of ["account-0", "account-1"]
//! while the other holds 0
//! ```

use std::error::Error;

use parallel_workers::{Context, Processor, ProcessorService};

/// What a worker keeps: an account of its own, which nobody else can touch.
struct Account(i64);

impl Processor for Account {
    type Request = i64;
    type Output = i64;

    fn process(&mut self, amount: &i64, _: &Context<'_>) -> i64 {
        self.0 += amount;
        self.0
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let builder = ProcessorService::builder().workers(2).name("account");
    let bank = builder.start(|| Account(0))?;
    let account = bank.worker_named("account-1").ok_or("no such worker")?;

    // Execute: synchronously. Unshared, for two equal deposits are two deposits.
    let balance = *account.assign_unshared(100).wait()?;
    println!("execute: the account holds {balance}");

    // Send, poll, receive: asynchronously, through promises. Paused, so that polling finds nothing yet.
    bank.pause();
    let orders = [30, -50].map(|amount| account.assign_unshared(amount));
    let polled = orders.each_ref().map(|order| match order.try_result() {
        Some(_) => "done",
        None => "not yet",
    });
    println!("sent 2 orders; polled: {}", polled.join(", "));
    bank.resume();
    println!(
        "received: {}, then {}",
        orders[0].wait()?,
        orders[1].wait()?
    );

    // The same promise, awaited by any executor.
    let order = account.assign_unshared(5);
    let awaited = futures::executor::block_on(async { (&order).await.copied() })?;
    println!("awaited: {awaited}");

    account.wait_idle();
    let last = account.last_promise().ok_or("nothing was assigned")?;
    let names: Vec<_> = bank
        .workers()
        .into_iter()
        .map(|worker| worker.name)
        .collect();
    let (last, id) = (*last.wait()?, account.id());
    println!("the last answer was {last}, from account {id} of {names:?}");
    let other = bank.worker_named(&names[0]).ok_or("no such worker")?;
    println!("while the other holds {}", other.assign(0).wait()?);
    Ok(())
}
