"""The console in browsers: a server of pages and websockets, and one viewer process per page."""
