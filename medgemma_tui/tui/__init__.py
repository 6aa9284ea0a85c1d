"""The screen: a Textual application that talks to the gateway over the wire and holds the conversation."""
