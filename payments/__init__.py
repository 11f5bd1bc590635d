"""Paying the balance: schedules, autopay, processors, returns."""
