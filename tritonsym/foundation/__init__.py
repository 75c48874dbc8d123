"""What everything stands on: errors and their texts, shapes, data types, files, switches."""
