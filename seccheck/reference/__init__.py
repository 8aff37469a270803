"""Dated snapshots of support dates, releases, exploited flaws and package fixes, and how a product is judged by them."""

from __future__ import annotations

from seccheck.reference.product import Product

__all__ = ["Product"]
