//! The receiving process from inside: endpoints with moods and books, each on a port of its own, and a desk that is
//! told moods and asked for books.

use crate::{
    book::{Ages, Book},
    receiver::Mood,
    wire::{self, Answer, Request},
};
use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    fmt::Write,
    net,
    rc::Rc,
};
use tokio::{net::TcpListener, task::JoinSet};

/// All endpoints, by port.
type Endpoints = Rc<RefCell<BTreeMap<u16, Rc<Endpoint>>>>;

struct Endpoint {
    port: u16,
    mood: Cell<Mood>,
    book: RefCell<Book>,
    /// Its listener and its connections.
    tasks: RefCell<JoinSet<()>>,
}

/// The other process's life, until it is killed.
pub(crate) fn serve() {
    let endpoints = Endpoints::default();
    wire::serve(move |request| Answer::Text(desk(&endpoints, request.path).unwrap_or_default()));
}

/// Does what the path says; what is not understood is answered with nothing, which whoever asked cannot read.
fn desk(endpoints: &Endpoints, path: &str) -> Option<String> {
    let mut words = path.split('/').skip(1);
    let (verb, mut number) = (words.next()?, || words.next()?.parse::<u64>().ok());
    let all = endpoints.borrow();
    let of = |port: u64| all.get(&u16::try_from(port).ok()?);
    match verb {
        "books" => Some(all.values().map(|endpoint| endpoint.line()).collect()),
        "ages" => {
            let mut ages = Ages::default();
            while let Some(port) = number() {
                ages.merge(&of(port)?.book.borrow().ages);
            }
            Some(format!("{} {}", ages.quantile(0.5), ages.quantile(0.99)))
        }
        "forget" => {
            all.values().for_each(|endpoint| endpoint.book.borrow_mut().ages = Ages::default());
            Some("done".into())
        }
        "lost" => Some(of(number()?)?.book.borrow().lost(number()?).to_string()),
        "refused" => Some(of(number()?)?.refused()),
        word => {
            let (mood, port) = (Mood::of(word)?, u16::try_from(number()?).ok()?);
            drop(all);
            let mut all = endpoints.borrow_mut();
            Rc::clone(all.entry(port).or_insert_with(|| Rc::new(Endpoint::new(port)))).turn(mood);
            Some("done".into())
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Nobody listens on it yet.
    fn new(port: u16) -> Self {
        let (book, tasks) = (RefCell::default(), RefCell::new(JoinSet::new()));
        Self { port, mood: Cell::new(Mood::Refusing), book, tasks }
    }

    fn turn(self: Rc<Self>, mood: Mood) {
        let before = self.mood.replace(mood);
        if mood == Mood::Refusing {
            *self.tasks.borrow_mut() = JoinSet::new(); // ends the listener and all connections
        } else if before == Mood::Refusing {
            let listener = net::TcpListener::bind(("127.0.0.1", self.port)).unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            let endpoint = Rc::clone(&self);
            self.tasks.borrow_mut().spawn_local(endpoint.listen(listener));
        }
    }

    async fn listen(self: Rc<Self>, listener: TcpListener) {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let endpoint = Rc::clone(&self);
            let mut tasks = self.tasks.borrow_mut();
            while tasks.try_join_next().is_some() {} // those that were closed
            tasks.spawn_local(async move { drop(wire::connection(socket, |request| endpoint.take(request)).await) });
        }
    }

    fn take(&self, request: &Request<'_>) -> Answer {
        let mut book = self.book.borrow_mut();
        match self.mood.get() {
            Mood::Well => {
                book.accept(request.body);
                return Answer::Accepted;
            }
            Mood::Failing | Mood::Hanging | Mood::Refusing => book.refuse(),
        }
        if self.mood.get() == Mood::Failing { Answer::Failed } else { Answer::Nothing }
    }

    fn line(&self) -> String {
        let book = self.book.borrow();
        format!("{} {} {} {} {}\n", self.port, book.arrived, book.whole, book.twins, book.disorder)
    }

    /// How many milliseconds ago requests came that were not accepted.
    fn refused(&self) -> String {
        self.book.borrow().refused.iter().fold(String::new(), |mut text, at| {
            writeln!(text, "{}", at.elapsed().as_millis()).expect("a string takes all");
            text
        })
    }
}
