"""Stand-ins for the services people do not have at hand: qold-app, qold-sms, Keen, qold-hw-api."""
