"""Grading: student code runs behind a wall, the tests stay outside and talk to it by value."""
