-- What operators said of incidents: one word an incident, the newest.
CREATE TABLE feedback (
    incident_id TEXT PRIMARY KEY,
    equipment   TEXT NOT NULL,
    given_at    REAL NOT NULL,
    document    TEXT NOT NULL
);
CREATE INDEX feedback_of_equipment ON feedback (equipment, given_at);
