-- Work for the diagnosis loop. `document` is the job as it was enqueued; the columns that change
-- while it moves through its states stand beside it and win.
CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL,
    equipment   TEXT NOT NULL,
    on_demand   INTEGER NOT NULL,
    priority    INTEGER NOT NULL,
    state       TEXT NOT NULL,
    attempts    INTEGER NOT NULL,
    created_at  REAL NOT NULL,
    not_before  REAL NOT NULL,
    expires_at  REAL,
    changed_at  REAL NOT NULL,
    last_error  TEXT,
    document    TEXT NOT NULL
);
CREATE INDEX jobs_waiting ON jobs (priority, created_at) WHERE state = 'queued';
CREATE INDEX jobs_of_incident ON jobs (incident_id, state);
CREATE INDEX jobs_by_change ON jobs (state, changed_at);

-- Messages that the broker has not acknowledged yet. A row goes only after a good PUBACK, when it
-- outlived its time, or when it is shed, which is counted.
CREATE TABLE outbox (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    key              TEXT NOT NULL UNIQUE,
    priority         INTEGER NOT NULL,
    topic            TEXT NOT NULL,
    payload          BLOB NOT NULL,
    retain           INTEGER NOT NULL,
    content_type     TEXT NOT NULL,
    correlation_data BLOB,
    added_at         REAL NOT NULL,
    expires_at       REAL,
    size             INTEGER NOT NULL,
    refusals         INTEGER NOT NULL DEFAULT 0,
    parked_until     REAL NOT NULL DEFAULT 0,
    last_error       TEXT
);
CREATE INDEX outbox_order ON outbox (priority, seq);
CREATE INDEX outbox_expiry ON outbox (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX outbox_retained ON outbox (topic) WHERE retain = 1;

-- The last state of each incident, for the history and the shift summary.
CREATE TABLE incidents (
    incident_id TEXT PRIMARY KEY,
    equipment   TEXT NOT NULL,
    opened_at   REAL NOT NULL,
    closed_at   REAL,
    sequence    INTEGER NOT NULL,
    phase       TEXT NOT NULL,
    recorded_at REAL NOT NULL,
    document    TEXT NOT NULL
);
CREATE INDEX incidents_of_equipment ON incidents (equipment, recorded_at);
CREATE INDEX incidents_by_record ON incidents (recorded_at);

-- What the daemon has learned and would learn again: baselines, the governor's bucket.
CREATE TABLE snapshots (
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    data     BLOB NOT NULL,
    saved_at REAL NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- What must never be lost: the roll-out's state with the last good settings. Old versions are
-- kept for a while, so that a person can look back.
CREATE TABLE generations (
    version  INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    document BLOB NOT NULL,
    saved_at REAL NOT NULL
);
CREATE INDEX generations_of_kind ON generations (kind, version);

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
