"""What the tests of the whole suite share: private instances, an SMTP sink, a DNS server, a raw SMTP client."""
