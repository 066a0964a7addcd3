"""Tests of orders_platform, in the shape of the package."""
