//! Every interleaving of the hand-off between pump, callback thread and whoever ends a registration (tier T0).

/// The model's parts in place of those of the standard library.
mod sync {
    pub(crate) use std::sync::PoisonError;

    pub(crate) use loom::{
        sync::{Condvar, Mutex, MutexGuard},
        thread::{ThreadId, current},
    };
}

#[expect(dead_code, reason = "the model uses a part of it")]
#[path = "../src/mailbox.rs"]
mod mailbox;

use loom::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};
use mailbox::Mailbox;

/// A program's callback: what it was told, and whether it may be called.
#[derive(Debug)]
struct Program {
    told: AtomicUsize,
    gone: AtomicUsize,
}

type Box = Mailbox<u8, u8>;

/// Mailbox, program, and the thread that reads until the end.
fn world(on_delivery: impl Fn(&Box) + Send + 'static) -> (Arc<Box>, Arc<Program>, thread::JoinHandle<()>) {
    let mailbox = Arc::new(Mailbox::new());
    let program = Arc::new(Program { told: AtomicUsize::new(0), gone: AtomicUsize::new(0) });
    let reader = {
        let (mailbox, program) = (Arc::clone(&mailbox), Arc::clone(&program));
        thread::spawn(move || {
            mailbox.read(
                |_| true,
                || {},
                |_, mail| {
                    assert_eq!(program.gone.load(SeqCst), 0, "called after its end");
                    let before = program.told.swap(usize::from(*mail), SeqCst);
                    assert!(before < usize::from(*mail), "out of order, or twice");
                    on_delivery(&mailbox);
                },
            );
        })
    };
    (mailbox, program, reader)
}

#[test]
fn nothing_is_delivered_after_the_end_of_the_registration_and_all_before_it_in_order() {
    loom::model(|| {
        let (mailbox, program, reader) = world(|_| {});
        assert!(matches!(mailbox.register(1), Ok(None)));
        let pump = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                mailbox.put(vec![1, 1, 2], |_| true);
                mailbox.put(vec![2, 3], |_| true);
            })
        };
        assert_eq!(mailbox.unregister(), Some(1));
        // The program frees what its callback uses.
        program.gone.store(1, SeqCst);
        pump.join().expect("the pump has no assertion");
        mailbox.end();
        reader.join().expect("the reader found everything in order");
    });
}

#[test]
fn everything_that_is_put_in_is_delivered_once() {
    loom::model(|| {
        let (mailbox, program, reader) = world(|_| {});
        assert!(mailbox.register(1).is_ok());
        mailbox.put(vec![1, 1, 2], |_| true);
        while program.told.load(SeqCst) < 2 {
            thread::yield_now();
        }
        mailbox.end();
        reader.join().expect("the reader found everything in order");
        assert!(mailbox.register(1).is_err(), "after the end");
    });
}

#[test]
fn a_callback_that_ends_its_own_registration_does_not_wait_for_itself() {
    loom::model(|| {
        let (mailbox, _, reader) = world(|mailbox| {
            mailbox.unregister();
        });
        assert!(mailbox.register(1).is_ok());
        mailbox.put(vec![1, 2], |_| true);
        mailbox.end();
        reader.join().expect("the reader found everything in order");
    });
}

#[test]
fn two_who_end_the_registration_together_both_return_after_the_callback() {
    loom::model(|| {
        let (mailbox, program, reader) = world(|_| {});
        assert!(mailbox.register(1).is_ok());
        mailbox.put(vec![1], |_| true);
        let other = {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || mailbox.unregister())
        };
        mailbox.end();
        program.gone.store(1, SeqCst);
        other.join().expect("it returns");
        reader.join().expect("the reader found everything in order");
    });
}
