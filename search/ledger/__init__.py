"""Every fact of a study in one small database: written in batches, read as rows and as pandas frames."""

from search.ledger.facts import StudyFacts as StudyFacts
from search.ledger.fits import FitRole as FitRole
from search.ledger.fits import FitRow as FitRow
from search.ledger.ledger import Ledger as Ledger
from search.ledger.paths import sqlite_url as sqlite_url
from search.ledger.rows import ORIGIN as ORIGIN
from search.ledger.rows import DecisionRow as DecisionRow
from search.ledger.rows import EpochRow as EpochRow
from search.ledger.rows import SessionRow as SessionRow
from search.ledger.rows import StudyRow as StudyRow
from search.ledger.rows import TrialRow as TrialRow
from search.ledger.writer import LedgerWriter as LedgerWriter
