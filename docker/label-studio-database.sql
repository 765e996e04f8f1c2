-- Label Studio keeps to a database of its own, on the same server.
CREATE DATABASE label_studio OWNER waver;
