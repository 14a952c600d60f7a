//! `claviger audit tail`: the last records, and each new one as it is recorded.

use std::{collections::HashSet, time::Duration};

use claviger_wire::ledger::Event;

use crate::{
    client::{Client, Query},
    error::{Exit, Failure},
    output::Output,
    text::event_line,
};

/// How many records it begins with.
const TAIL_EVENTS: usize = 20;
/// How long it waits before it comes back to a server that ended the stream.
const PAUSE: Duration = Duration::from_secs(1);

/// Follows the trail. What it asks leaves records of its own there, which are not shown: they carry the
/// ids of the requests.
pub(super) struct Tail<'a> {
    filter: Query,
    client: &'a Client,
    out: &'a Output,
    last_seq: u64,
    own: HashSet<String>,
}

impl<'a> Tail<'a> {
    pub(super) fn new(filter: Query, client: &'a Client, out: &'a Output) -> Self {
        Self {
            filter,
            client,
            out,
            last_seq: 0,
            own: HashSet::new(),
        }
    }

    /// Prints the last records; then, if asked to, each new one until it is interrupted.
    pub(super) async fn run(mut self, follows: bool) -> Result<(), Failure> {
        if !follows {
            return self.begin().await;
        }
        tokio::select! {
            ended = self.follow() => ended,
            _interrupted = tokio::signal::ctrl_c() => Ok(()),
        }
    }

    async fn begin(&mut self) -> Result<(), Failure> {
        // Where the trail ends now: what comes later is told by the stream, whether or not any of
        // the last records fit.
        let newest = vec![("limit", "1".to_owned())];
        let newest = match self.filter.iter().find(|(name, _)| *name == "workspace") {
            Some(workspace) => [newest, vec![workspace.clone()]].concat(),
            None => newest,
        };
        let (newest, id) = self.client.events_with_id(&newest).await?;
        self.own.extend(id);
        let end = newest.events.first().map_or(0, |event| event.seq);
        let query = [
            self.filter.clone(),
            vec![("limit", TAIL_EVENTS.to_string())],
        ];
        let (list, id) = self.client.events_with_id(&query.concat()).await?;
        self.own.extend(id);
        let mut events = list.events;
        events.reverse();
        for event in events {
            self.print(event)?;
        }
        self.last_seq = self.last_seq.max(end);
        Ok(())
    }

    async fn follow(&mut self) -> Result<(), Failure> {
        self.begin().await?;
        let mut is_lost = false;
        loop {
            match self.stream(&mut is_lost).await {
                Ok(()) => {}
                Err(failure) if failure.exit() == Exit::Unavailable => {
                    if !is_lost {
                        self.out
                            .warning(&format!("{failure}; trying again every second"));
                    }
                    is_lost = true;
                }
                Err(failure) => return Err(failure),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Prints what a stream tells until it ends. Whoever is not let in any more is told so by the
    /// next one.
    async fn stream(&mut self, is_lost: &mut bool) -> Result<(), Failure> {
        let after = vec![("after", self.last_seq.to_string())];
        let query = [self.filter.clone(), after].concat();
        let mut stream = self.client.follow_events(&query).await?;
        self.own.extend(stream.request_id());
        *is_lost = false;
        while let Some(told) = stream.next(self.client).await? {
            match told.event {
                Some(event) => self.print(event)?,
                None => self.last_seq = self.last_seq.max(told.seq),
            }
        }
        Ok(())
    }

    fn print(&mut self, event: Event) -> Result<(), Failure> {
        if event.seq <= self.last_seq {
            return Ok(());
        }
        self.last_seq = event.seq;
        let opened = event.change.as_ref();
        let opened = opened.and_then(|change| change.get("stream")?.get("opened")?.as_str());
        if self.own.contains(&event.id) || opened.is_some_and(|id| self.own.contains(id)) {
            return Ok(());
        }
        if self.out.is_json() {
            return self.out.json_line(&event);
        }
        self.out.event(&event_line(&event))
    }
}
