-- The record that brought the batch, whole: a batch that dies while its object is written leaves it as a dead letter.
ALTER TABLE onpoint_lake.batches ADD COLUMN record text;
