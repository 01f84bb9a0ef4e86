"""What travels between processes: topics, codecs and published schemas."""
