"""A fleet of real servers on loopback, and the registry that describes it."""

from seccheck.demo.fleet import Fleet as Fleet
from seccheck.demo.fleet import expected as expected
