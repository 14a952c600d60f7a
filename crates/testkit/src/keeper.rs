//! The thread that starts the servers and never ends.
//!
//! The kernel counts the *thread* that started a process as its parent when it delivers the signal
//! that `setpriv --pdeathsig` asked for. A server started by the thread of a test would die with
//! that test; started by this one, it dies with the whole process.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::thread;

struct Order {
    command: Command,
    reply: Sender<io::Result<Child>>,
}

/// Starts a process whose parent is the keeper.
pub(crate) fn start(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Sender<Order>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, inbox) = channel::<Order>();
        let keeper = thread::Builder::new().name("postgres-keeper".to_owned());
        keeper
            .spawn(move || {
                for Order { mut command, reply } in inbox {
                    // Nobody waits for the reply of an order whose test has panicked meanwhile.
                    reply.send(command.spawn()).ok();
                }
            })
            .expect("a thread can be started");
        orders
    });
    let (reply, answer) = channel();
    orders
        .send(Order { command, reply })
        .expect("the keeper never ends");
    answer.recv().expect("the keeper answers every order")
}
