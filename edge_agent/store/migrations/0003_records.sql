-- What each diagnosis was made from, compressed: for the audit and for making it again. A card is
-- kept once however many diagnoses used it.
CREATE TABLE records (
    job_id      TEXT PRIMARY KEY,
    incident_id TEXT NOT NULL,
    made_at     REAL NOT NULL,
    card_sha256 TEXT,
    size        INTEGER NOT NULL,
    document    BLOB NOT NULL
);
CREATE INDEX records_by_age ON records (made_at);
CREATE INDEX records_of_incident ON records (incident_id, made_at);
CREATE TABLE record_cards (
    sha256   TEXT PRIMARY KEY,
    size     INTEGER NOT NULL,
    document BLOB NOT NULL
) WITHOUT ROWID;
